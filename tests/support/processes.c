/* SPDX-License-Identifier: Apache-2.0
 *
 * Read from /proc, by name: the processes are undumpable, but their status is there for everybody.
 */
#include "tests/support/processes.h"

#include <setjmp.h>
#include <stdarg.h>
/* cmocka.h needs these and two of the header's. */
#include <cmocka.h>

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/files.h"

#define PROCESSES_WAIT_MS   (SG_SANITIZED ? 120000 : 30000)
#define PROCESSES_PROBE_MS  2
#define PROCESSES_MAX_DEPTH 4u
/* As the kernel cuts it. */
#define PROCESSES_KEYHOLDER "signet-keyholde"

static int64_t processes_now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Unlike test_read_file, takes a process that ends meanwhile for none. */
bool test_process_field(pid_t pid, const char *name, char *out, size_t out_cap)
{
    char line[512];
    char path[64];
    bool found = false;
    size_t name_len = strlen(name);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return false;
    }
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, name_len) == 0 && line[name_len] == ':') {
            const char *value = line + name_len + 1 + strspn(line + name_len + 1, "\t ");
            (void)snprintf(out, out_cap, "%.*s", (int)strcspn(value, "\n"), value);
            found = true;
        }
    }
    (void)fclose(file);
    return found;
}

pid_t test_process_parent(pid_t pid)
{
    char text[32];
    return test_process_field(pid, "PPid", text, sizeof(text)) ? (pid_t)strtol(text, NULL, 10) : 0;
}

static bool processes_descends(pid_t pid, pid_t ancestor)
{
    for (unsigned depth = 0; depth < PROCESSES_MAX_DEPTH && pid > 1; depth++) {
        pid = test_process_parent(pid);
        if (pid == ancestor) {
            return true;
        }
    }
    return false;
}

static bool processes_is_keyholder(pid_t pid)
{
    char name[64];
    char state[64];
    return test_process_field(pid, "Name", name, sizeof(name)) &&
           strcmp(name, PROCESSES_KEYHOLDER) == 0 &&
           test_process_field(pid, "State", state, sizeof(state)) && state[0] != 'Z';
}

pid_t test_process_keyholder(pid_t daemon)
{
    pid_t found = 0;
    DIR *dir = opendir("/proc");
    assert_non_null(dir);
    for (const struct dirent *entry = readdir(dir); entry != NULL; entry = readdir(dir)) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (found == 0 && pid > 1 && processes_is_keyholder(pid) &&
            processes_descends(pid, daemon)) {
            found = pid;
        }
    }
    (void)closedir(dir);
    return found;
}

pid_t test_process_await_keyholder(pid_t daemon, pid_t other)
{
    int64_t deadline = processes_now_ms() + PROCESSES_WAIT_MS;
    pid_t pid = 0;
    for (;;) {
        pid = test_process_keyholder(daemon);
        if ((pid != 0 && pid != other) || processes_now_ms() > deadline) {
            break;
        }
        (void)poll(NULL, 0, PROCESSES_PROBE_MS);
    }
    if (pid == 0 || pid == other) {
        fail_msg("no other keyholder's process came");
    }
    return pid;
}

int test_process_open(pid_t pid)
{
    int fd = pidfd_open(pid, 0);
    assert_true(fd >= 0);
    return fd;
}

void test_process_await_end(int pidfd)
{
    struct pollfd wait_for = {.fd = pidfd, .events = POLLIN};
    int ready = poll(&wait_for, 1, PROCESSES_WAIT_MS);
    (void)close(pidfd);
    assert_int_equal(ready, 1);
}

static bool processes_all_are(pid_t pid, const char *name, unsigned long id)
{
    char text[128];
    char expected[128];
    (void)snprintf(expected, sizeof(expected), "%lu\t%lu\t%lu\t%lu", id, id, id, id);
    return test_process_field(pid, name, text, sizeof(text)) && strcmp(text, expected) == 0;
}

bool test_process_has_ids(pid_t pid, uid_t uid, gid_t gid)
{
    return processes_all_are(pid, "Uid", uid) && processes_all_are(pid, "Gid", gid);
}
