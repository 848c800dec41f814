/* SPDX-License-Identifier: Apache-2.0
 *
 * The least that any server on a Unix socket has to do: one thread a connection, and every byte sent
 * back. No framing.
 *
 *     echo_unix SOCKET_PATH      until it is killed
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void *echo_serve(void *argument)
{
    int fd = (int)(intptr_t)argument;
    char bytes[65536];
    ssize_t len = recv(fd, bytes, sizeof(bytes), 0);
    while (len > 0 && send(fd, bytes, (size_t)len, MSG_NOSIGNAL) == len) {
        len = recv(fd, bytes, sizeof(bytes), 0);
    }
    (void)close(fd);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
        (void)fprintf(stderr, "usage: %s SOCKET_PATH\n", argv[0]);
        return 2;
    }
    memcpy(address.sun_path, argv[1], strlen(argv[1]) + 1);

    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (const struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listener, 128) != 0) {
        perror(argv[1]);
        return 1;
    }
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;
        if (fd < 0 || pthread_create(&thread, NULL, echo_serve, (void *)(intptr_t)fd) != 0) {
            perror("accept");
            return 1;
        }
        (void)pthread_detach(thread);
    }
}
