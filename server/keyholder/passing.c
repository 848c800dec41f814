/* SPDX-License-Identifier: Apache-2.0
 *
 * sendmsg and recvmsg with descriptors.
 */
#include "server/keyholder/passing.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

bool sg_passing_send(int to, const void *bytes, size_t len, const int *fds, size_t num)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * SG_PASSING_MAX)] = {0};
    /* Only read; the type is older than const. */
    struct iovec part = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (num > SG_PASSING_MAX) {
        return false;
    }
    if (num > 0) {
        struct cmsghdr *header = (struct cmsghdr *)(void *)control;
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * num);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * num);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * num);
    }
    ssize_t sent;
    do {
        sent = sendmsg(to, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent >= 0 && (size_t)sent == len;
}

/* The kernel puts all descriptors of a message into one part. */
static void passing_take(struct msghdr *message, int *fds, size_t *num)
{
    const struct cmsghdr *part = CMSG_FIRSTHDR(message);
    if (part != NULL && part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_RIGHTS) {
        size_t len = part->cmsg_len - CMSG_LEN(0);
        memcpy(fds, CMSG_DATA(part), len);
        *num = len / sizeof(int);
    }
}

ssize_t sg_passing_receive(int from, void *bytes, size_t cap, int *fds, size_t *num)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int) * SG_PASSING_MAX)];
    struct iovec part = {.iov_base = bytes, .iov_len = cap};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    ssize_t len;
    *num = 0;
    do {
        len = recvmsg(from, &message, MSG_CMSG_CLOEXEC);
    } while (len < 0 && errno == EINTR);
    if (len < 0) {
        return -1;
    }
    passing_take(&message, fds, num);
    return (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0 ? len : -1;
}
