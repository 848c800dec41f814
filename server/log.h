/* SPDX-License-Identifier: Apache-2.0
 *
 * The daemon's log: one line an event to standard error, "signetd: level: text". One line per
 * start, stop and fault, none per good request, and at most a few a second whatever peers do.
 * Tokens and secrets are never logged. The only code of the daemon that prints.
 */
#ifndef SG_LOG_H
#define SG_LOG_H

enum sg_log_level {
    SG_LOG_ERROR = 1,
    SG_LOG_WARNING,
    SG_LOG_INFO
};

/* Any thread. Never blocks for long; control characters are replaced; cut at 1 KiB. */
void sg_log(enum sg_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
