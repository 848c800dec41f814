/* SPDX-License-Identifier: Apache-2.0
 *
 * The keyholder's process as a part of the daemon: whom it runs as, its launcher, its start, its restarts.
 */
#ifndef SG_DAEMON_KEYHOLDER_H
#define SG_DAEMON_KEYHOLDER_H

#include <stdbool.h>
#include <sys/types.h>

#include "server/config.h"
#include "server/keyholder/keyholder.h"

struct sg_keymaster;

#define SG_DAEMON_KEYHOLDER_MAX_ERROR 2304u

struct sg_daemon_keyholder {
    const struct sg_config *config;
    bool change_user; /* the launcher's to do */
    uid_t uid;
    gid_t gid;
    pid_t launcher_pid;
    int launcher_fd;                           /* -1: a supervisor starts keyholders */
    struct sg_keyholder *keyholder;            /* NULL: not started */
    struct sg_keymaster *keymaster;            /* whose keys are loaded again after a restart */
    char fault[SG_DAEMON_KEYHOLDER_MAX_ERROR]; /* last logged */
};

/* sg_daemon_keyholder_launch chooses the keyholder's user (else the daemon's, uid and gid) and forks the
 * launcher. First of all, while this is root if it ever is. What fails is logged. */
bool sg_daemon_keyholder_launch(struct sg_daemon_keyholder *part, const struct sg_config *config,
                                uid_t uid, gid_t gid);

/* sg_daemon_keyholder_start starts the process. num_callers: threads of the daemon that will call it for what is
 * quick; num_slow_callers: for what takes long. */
bool sg_daemon_keyholder_start(struct sg_daemon_keyholder *part, int passphrase_fd,
                               uint32_t num_callers, uint32_t num_slow_callers);

/* sg_daemon_keyholder_watch has it started again whenever it ends. Starts threads. */
bool sg_daemon_keyholder_watch(struct sg_daemon_keyholder *part, struct sg_keymaster *keymaster);

/* sg_daemon_keyholder_stop ends the process, if there is one. */
void sg_daemon_keyholder_stop(struct sg_daemon_keyholder *part);

#endif
