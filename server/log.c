/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's log. One write a line, so that lines of several threads never mix. Warnings, which
 * peers can provoke, are limited to a few a second; how many were left out is said once that second
 * is over.
 */
#include "server/log.h"

#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_MAX_LINE            4096u
#define LOG_WARNINGS_PER_SECOND 5u
/* How long a line waits for a reader of a full pipe before it is lost. */
#define LOG_PATIENCE_MS 100

static struct {
    pthread_mutex_t mutex;
    time_t second; /* CLOCK_MONOTONIC */
    unsigned num_warnings;
    unsigned num_left_out;
} log_state = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static const char *log_level_name(enum sg_log_level level)
{
    switch (level) {
    case SG_LOG_ERROR:
        return "error";
    case SG_LOG_WARNING:
        return "warning";
    case SG_LOG_INFO:
        return "info";
    }
    return "error";
}

/* Ends the line where it was cut and makes what would act on a terminal harmless. */
static void log_write(char line[LOG_MAX_LINE], size_t len)
{
    if (len > LOG_MAX_LINE - 1) {
        len = LOG_MAX_LINE - 1;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)line[i];
        if (c < ' ' || c == 0x7f) {
            line[i] = '?';
        }
    }
    line[len] = '\n';
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&out, 1, LOG_PATIENCE_MS) == 1) {
        ssize_t written = write(STDERR_FILENO, line, len + 1);
        (void)written; /* there is nowhere to complain */
    }
}

/* Whether a line may be written now; in *num_left_out, what a new second still has to say about the
 * one before it. */
static bool log_may_write(enum sg_log_level level, unsigned *num_left_out)
{
    struct timespec now = {0};
    bool may_write = true;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    (void)pthread_mutex_lock(&log_state.mutex);
    if (now.tv_sec != log_state.second) {
        *num_left_out = log_state.num_left_out;
        log_state.second = now.tv_sec;
        log_state.num_warnings = 0;
        log_state.num_left_out = 0;
    }
    if (level == SG_LOG_WARNING) {
        may_write = log_state.num_warnings < LOG_WARNINGS_PER_SECOND;
        log_state.num_warnings += may_write ? 1 : 0;
        log_state.num_left_out += may_write ? 0 : 1;
    }
    (void)pthread_mutex_unlock(&log_state.mutex);
    return may_write;
}

void sg_log(enum sg_log_level level, const char *format, ...)
{
    char line[LOG_MAX_LINE];
    unsigned num_left_out = 0;
    if (!log_may_write(level, &num_left_out)) {
        return;
    }
    if (num_left_out > 0) {
        int len = snprintf(line, sizeof(line), "signetd: warning: %u more warnings were left out",
                           num_left_out);
        log_write(line, len > 0 ? (size_t)len : 0);
    }
    int prefix = snprintf(line, sizeof(line), "signetd: %s: ", log_level_name(level));
    if (prefix < 0) {
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    int text = vsnprintf(line + prefix, sizeof(line) - (size_t)prefix, format, arguments);
    va_end(arguments);
    if (text >= 0) {
        log_write(line, (size_t)prefix + (size_t)text);
    }
}
