/* SPDX-License-Identifier: Apache-2.0
 *
 * The program that a process runs: which file it is, whether the daemon sees the same file under its path, and
 * its hash. Looking at another user's needs CAP_SYS_PTRACE: see peer_resolver.
 */
#ifndef SG_PEER_EXE_H
#define SG_PEER_EXE_H

#include "server/peer.h"
#include "server/peer_proc.h"

/* Of more than that there is no hash. */
#define SG_PEER_MAX_HASHED (256ull * 1024 * 1024)

/* A file at one state of its contents. */
struct sg_peer_file {
    uint64_t dev, ino, size;
    int64_t mtime_s, mtime_ns, ctime_s, ctime_ns;
};

bool sg_peer_file_equal(const struct sg_peer_file *a, const struct sg_peer_file *b);

struct sg_peer_exe {
    struct sg_peer_file file;
    uint32_t
        path_outcome; /* enum sg_peer_outcome: whether path is under which the daemon sees it */
    uint32_t unused;  /* 0 */
    char path[SG_PEER_MAX_EXE + 1];
};

/* sg_peer_exe_find says which file the process runs. may_wait: for file systems, while the path is walked; else
 * only what the kernel has in memory is used, and path_outcome may be WOULD_WAIT. out is written only if it
 * returns SG_PEER_FOUND. */
enum sg_peer_outcome sg_peer_exe_find(const char *root, const struct sg_peer_process *process,
                                      bool may_wait, struct sg_peer_exe *out);

/* sg_peer_exe_hash reads all of the very file that the process runs. Blocks for as long as that takes. out and
 * *out_file, the state it was hashed at, are written only if it returns SG_PEER_FOUND. */
enum sg_peer_outcome sg_peer_exe_hash(const char *root, const struct sg_peer_process *process,
                                      struct sg_peer_file *out_file,
                                      uint8_t out[SG_PEER_SHA256_LEN]);

#endif
