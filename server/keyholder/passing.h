/* SPDX-License-Identifier: Apache-2.0
 *
 * One message of a SOCK_SEQPACKET socket, and descriptors with it (SCM_RIGHTS, unix(7)).
 */
#ifndef SG_KEYHOLDER_PASSING_H
#define SG_KEYHOLDER_PASSING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SG_PASSING_MAX 129u /* descriptors with one message */

/* sg_passing_send sends len bytes and num descriptors, 0 to SG_PASSING_MAX, which stay the caller's. False if
 * not all of it was sent. */
bool sg_passing_send(int to, const void *bytes, size_t len, const int *fds, size_t num)
    __attribute__((warn_unused_result));

/* sg_passing_receive waits for a message and returns its length: 0 at the end, -1 for an error, for one that
 * is longer than cap, or with more descriptors than there is room for. fds has room for SG_PASSING_MAX; the
 * *num that came are close-on-exec and the caller's to close, whatever this returns. */
ssize_t sg_passing_receive(int from, void *bytes, size_t cap, int *fds, size_t *num);

#endif
