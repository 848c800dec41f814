/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's side of the keyholder's process: starts it, talks to it, notices its end, and has another
 * one started. An sg_keyholder whose calls cross to that process.
 *
 * Each call takes a channel for itself, so that none waits for another's; there are as many as threads that
 * call. One thread waits for the end of the process.
 */
#ifndef SG_KEYHOLDER_PROCESS_H
#define SG_KEYHOLDER_PROCESS_H

#include "server/keyholder/keystore_door.h"

struct sg_keyholder_process_options {
    int launcher_fd;    /* where one is started (server/launcher); -1: connect to socket */
    const char *socket; /* where a supervisor starts one */
    const char *dir;    /* the state directory; NULL: keys end with the process */
    const char *source; /* of the key-encryption key */
    int passphrase_fd;  /* -1: none */
    /* Threads that may call at once, for what is quick and for what takes long; with as many channels each.
     * 1 to 112 together; without any for what takes long, that waits among the quick. */
    uint32_t num_callers, num_slow_callers;
    uint32_t required; /* protections (enum sg_protection) without which it is not used */
};

/* sg_keyholder_process_start has the first one started. On failure error says what and what would mend
 * it: FAILED_PRECONDITION, a required protection does not hold; UNAVAILABLE, it does not start. Starts no
 * thread yet. */
signet_status sg_keyholder_process_start(const struct sg_keyholder_process_options *options,
                                         struct sg_keyholder **out, char *error,
                                         size_t error_cap) SIGNET_MUST_CHECK;

/* sg_keyholder_process_watch starts the thread. revive is called with context each time when the process
 * has ended, after a while that grows if it ends again soon: it is to call sg_keyholder_process_again, load
 * the keys, call sg_keyholder_process_ready, and return whether that went well; else it is called again
 * later. */
signet_status sg_keyholder_process_watch(struct sg_keyholder *keyholder,
                                         bool (*revive)(void *context),
                                         void *context) SIGNET_MUST_CHECK;

/* sg_keyholder_process_again has another process started in the place of one that has ended. Signing and
 * checking stay UNAVAILABLE until sg_keyholder_process_ready. */
signet_status sg_keyholder_process_again(struct sg_keyholder *keyholder, char *error,
                                         size_t error_cap) SIGNET_MUST_CHECK;
/* sg_keyholder_process_ready: false if it has ended meanwhile. */
bool sg_keyholder_process_ready(struct sg_keyholder *keyholder);

/* sg_keyholder_process_read fills *state. Any thread. */
void sg_keyholder_process_read(struct sg_keyholder *keyholder, struct sg_keyholder_state *state);

/* sg_keyholder_process_hurry is for the time in which the daemon stops: none is started any more, revive is not
 * called any more when this returns, and a process that leaves any call without an answer for a second is
 * given up. NULL is legal. */
void sg_keyholder_process_hurry(struct sg_keyholder *keyholder);

/* sg_keyholder_process_free ends the process and the thread; no call may be under way. NULL is legal. */
void sg_keyholder_process_free(struct sg_keyholder *keyholder);

#endif
