/* SPDX-License-Identifier: Apache-2.0
 *
 * Files and processes for tests. Every failure fails the running test, so that callers need not
 * check. Temporary directories that a failed test left are removed when the program exits.
 */
#include "tests/support/files.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka.h needs the four above. */
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX_TEMP_DIRS 64
/* So that "DIR/run/signet.sock" and somewhat longer names fit sun_path's 107 bytes. */
#define FILES_MAX_TEMP_LEN 60
#define FILES_TEMP_NAME    "/signet-test.XXXXXX"

/* Directories that were made and not yet removed. Tests make them on their first thread only. */
static struct {
    pid_t owner; /* a forked child must not remove its parent's */
    size_t num;
    char paths[FILES_MAX_TEMP_DIRS][FILES_MAX_TEMP_LEN + 1];
} files_temp;

char *test_read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return NULL;
    }

    char *bytes = NULL;
    size_t used = 0;
    size_t room = 0;
    size_t got = 0;
    do {
        used += got;
        if (room - used < 2) {
            room = room == 0 ? 4096 : room * 2;
            char *more = realloc(bytes, room);
            if (more == NULL) {
                free(bytes);
                (void)fclose(file);
                fail_msg("no memory to read %s", path);
                return NULL;
            }
            bytes = more;
        }
        got = fread(bytes + used, 1, room - used - 1, file);
    } while (got > 0);
    int read_failed = ferror(file);
    (void)fclose(file);

    if (read_failed) {
        free(bytes);
        fail_msg("cannot read %s", path);
        return NULL;
    }
    bytes[used] = '\0';
    if (len != NULL) {
        *len = used;
    }
    return bytes;
}

void test_write_file(const char *path, const void *bytes, size_t len)
{
    FILE *file = fopen(path, "we");
    if (file == NULL) {
        fail_msg("cannot write %s: %s", path, strerror(errno));
        return;
    }
    size_t written = fwrite(bytes, 1, len, file);
    if (fclose(file) != 0 || written != len) {
        fail_msg("cannot write %s: %s", path, strerror(errno));
    }
}

static void files_remove_temp_dirs(void)
{
    if (files_temp.owner != getpid()) {
        return;
    }
    while (files_temp.num > 0) {
        test_remove_tree(files_temp.paths[files_temp.num - 1]);
    }
}

static void files_remember(const char *path)
{
    if (files_temp.owner != getpid()) {
        /* First use in this process. The handler of a parent is inherited and owner-checked. */
        if (files_temp.owner == 0 && atexit(files_remove_temp_dirs) != 0) {
            fail_msg("cannot register a handler for the end of the program");
        }
        files_temp.owner = getpid();
        files_temp.num = 0;
    }
    assert_true(files_temp.num < FILES_MAX_TEMP_DIRS);
    char *slot = files_temp.paths[files_temp.num++];
    (void)snprintf(slot, sizeof(files_temp.paths[0]), "%s", path);
}

static void files_forget(const char *path)
{
    for (size_t i = 0; files_temp.owner == getpid() && i < files_temp.num; i++) {
        if (strcmp(files_temp.paths[i], path) == 0) {
            files_temp.num--;
            memmove(files_temp.paths[i], files_temp.paths[files_temp.num],
                    sizeof(files_temp.paths[0]));
            return;
        }
    }
}

void test_temp_dir(char *out, size_t out_cap)
{
    const char *base = getenv("TMPDIR");
    if (base == NULL || base[0] != '/' ||
        strlen(base) + strlen(FILES_TEMP_NAME) > FILES_MAX_TEMP_LEN) {
        base = "/tmp";
    }

    char path[FILES_MAX_TEMP_LEN + 1];
    (void)snprintf(path, sizeof(path), "%s%s", base, FILES_TEMP_NAME);
    if (mkdtemp(path) == NULL) {
        fail_msg("cannot make a directory in %s: %s", base, strerror(errno));
        return;
    }
    files_remember(path);
    assert_true(strlen(path) < out_cap);
    memcpy(out, path, strlen(path) + 1);
}

static int files_remove_one(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info;
    (void)kind;
    (void)walk;
    return remove(path);
}

void test_remove_tree(const char *path)
{
    files_forget(path);
    /* Depth first, and never through a symbolic link. */
    if (nftw(path, files_remove_one, 16, FTW_DEPTH | FTW_PHYS) != 0 && errno != ENOENT) {
        (void)fprintf(stderr, "cannot remove %s: %s\n", path, strerror(errno));
    }
}

/* ---- Running programs ---- */

static int64_t files_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Output as it arrives. */
struct files_stream {
    int fd;
    char *text;
    size_t len;
    size_t room;
};

/* One read; closes the stream at its end. False without memory. */
static bool files_stream_read(struct files_stream *stream)
{
    if (stream->room - stream->len < 4097) {
        size_t room = stream->room * 2 + 8192;
        char *more = realloc(stream->text, room);
        if (more == NULL) {
            return false;
        }
        stream->text = more;
        stream->room = room;
    }
    ssize_t got = read(stream->fd, stream->text + stream->len, 4096);
    if (got > 0) {
        stream->len += (size_t)got;
    } else if (got == 0 || errno != EINTR) {
        (void)close(stream->fd);
        stream->fd = -1;
    }
    stream->text[stream->len] = '\0';
    return true;
}

/* Reads both streams to their ends. False at the deadline. */
static bool files_collect(struct files_stream streams[2], int64_t deadline)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        int64_t left = deadline - files_now_ms();
        if (left <= 0) {
            return false;
        }
        struct pollfd fds[2] = {
            {.fd = streams[0].fd, .events = POLLIN}, /* poll passes over a negative descriptor */
            {.fd = streams[1].fd, .events = POLLIN},
        };
        if (poll(fds, 2, (int)left) < 0 && errno != EINTR) {
            return false;
        }
        for (size_t i = 0; i < 2; i++) {
            if (fds[i].revents != 0 && !files_stream_read(&streams[i])) {
                return false;
            }
        }
    }
    return true;
}

/* An open file that holds input: unlike a pipe, nobody has to feed it and nobody gets SIGPIPE. */
static int files_input(const char *input)
{
    size_t len = input == NULL ? 0 : strlen(input);
    int fd = memfd_create("input", MFD_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    size_t done = 0;
    while (done < len) {
        ssize_t put = write(fd, input + done, len - done);
        if (put <= 0) {
            (void)close(fd);
            return -1;
        }
        done += (size_t)put;
    }
    if (lseek(fd, 0, SEEK_SET) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

/* In the child, between fork and exec: async-signal-safe calls only. */
static void files_exec(const char *const *argv, int in, int out, int err)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)setpgid(0, 0);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0 ||
        dup2(err, STDERR_FILENO) < 0) {
        _exit(127);
    }
    (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

/* Waits for the end of child until deadline; -1 if it did not come. */
static int files_wait(pid_t child, int64_t deadline)
{
    int end = pidfd_open(child, 0);
    struct pollfd wait_for = {.fd = end, .events = POLLIN};
    int64_t left = deadline - files_now_ms();
    int ready = end < 0 ? -1 : poll(&wait_for, 1, left > 0 ? (int)left : 0);
    if (end >= 0) {
        (void)close(end);
    }
    int status = 0;
    if (ready != 1 || waitpid(child, &status, 0) != child) {
        return -1;
    }
    return status;
}

void test_run(const char *const *argv, const char *input, unsigned timeout_ms,
              struct test_output *output)
{
    int64_t deadline = files_now_ms() + timeout_ms;
    int out[2];
    int err[2];
    int in = files_input(input);
    if (in < 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        fail_msg("cannot make pipes for %s: %s", argv[0], strerror(errno));
        return;
    }

    pid_t child = fork();
    if (child == 0) {
        files_exec(argv, in, out[1], err[1]);
    }
    (void)close(in);
    (void)close(out[1]);
    (void)close(err[1]);
    assert_true(child > 0);

    struct files_stream streams[2] = {{.fd = out[0]}, {.fd = err[0]}};
    int status = files_collect(streams, deadline) ? files_wait(child, deadline) : -1;
    if (status == -1) {
        /* Its process group: a shell script may have started more. */
        (void)kill(-child, SIGKILL);
        (void)waitpid(child, &status, 0);
        for (size_t i = 0; i < 2; i++) {
            if (streams[i].fd >= 0) {
                (void)close(streams[i].fd);
            }
        }
        print_message("%s%s\n", streams[0].text != NULL ? streams[0].text : "",
                      streams[1].text != NULL ? streams[1].text : "");
        free(streams[0].text);
        free(streams[1].text);
        fail_msg("%s did not end within %u ms", argv[0], timeout_ms);
        return;
    }

    output->exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    output->out = streams[0].text;
    output->err = streams[1].text;
}

void test_output_free(struct test_output *output)
{
    free(output->out);
    free(output->err);
    memset(output, 0, sizeof(*output));
}
