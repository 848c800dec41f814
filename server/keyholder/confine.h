/* SPDX-License-Identifier: Apache-2.0
 *
 * What the keyholder's process takes from itself before it reads its first operation: memory that can
 * leave it, rights, files and system calls. Everything here is for good, and for the whole process: it
 * has to be called while there is one thread.
 */
#ifndef SG_KEYHOLDER_CONFINE_H
#define SG_KEYHOLDER_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/keyholder/keyholder.h"

/* Where it may go afterwards. Rules are for the directories that are there now: what is put in the place of
 * one cannot be reached. */
struct sg_confine_place {
    const char *keys_dir; /* DIR/keys: read, write, make, rename, remove. NULL: no keystore */
    const char *key_dir;  /* the directory of the key-encryption key's file: read. NULL: none */
    bool has_terminal;    /* a passphrase may be asked for on /dev/tty */
};

/* sg_confine_memory comes first, before anything secret is in memory: undumpable, no core, and all of the
 * process's memory locked if RLIMIT_MEMLOCK is, or may be made, unlimited. Returns the protections that hold
 * (UNDUMPABLE, LOCKED_MEMORY). */
uint32_t sg_confine_memory(void);

/* sg_confine_process takes capabilities, new privileges, files (Landlock) and system calls (seccomp) away.
 * Whatever is to be loaded by name, OpenSSL's configuration and C libraries included, has to be there before.
 * Returns the protections that hold (NO_CAPABILITIES, SECCOMP, LANDLOCK). A system call that is not on the
 * list ends the process with SIGSYS. */
uint32_t sg_confine_process(const struct sg_confine_place *place);

#endif
