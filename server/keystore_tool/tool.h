/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of signet-keystore share. An application: it may print and exit.
 */
#ifndef SG_KEYSTORE_TOOL_H
#define SG_KEYSTORE_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "server/keyholder/backup.h"

/* As those of `signet`, which runs this. */
enum tool_exit {
    TOOL_GOOD = 0,
    TOOL_USAGE = 2,
    TOOL_FAILED = 4
};

enum tool_command {
    TOOL_INIT = 1,
    TOOL_BACKUP,
    TOOL_RESTORE
};

struct tool_options {
    enum tool_command command;
    const char *state_dir;
    const char *source;
    const char *owner; /* init: of the keys, a user's name or number; NULL: see tool_find_owner */
    const char
        *daemon_user;      /* init: of the state directory, likewise; NULL: see tool_find_daemon */
    const char *file;      /* of the backup */
    const char *recipient; /* backup: a public key in PEM; NULL: a passphrase */
    const char *identity;  /* restore: a private key in PEM; NULL: a passphrase */
    int passphrase_fd;     /* of the keystore; -1: the terminal */
    int backup_passphrase_fd; /* of the backup; -1: the terminal */
    bool may_replace;         /* backup: a file that is there */
};

/* tool_options_read returns false with the status to end with. (options.c) */
bool tool_options_read(int argc, char **argv, struct tool_options *out,
                       enum tool_exit *exit_status);

/* tool_fail prints one line on standard error. */
enum tool_exit tool_fail(enum tool_exit exit_status, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* ---- Files (files.c). Each complains and returns false. ---- */

/* tool_read_file reads a file of at most cap bytes; free() it. */
bool tool_read_file(const char *path, size_t cap, uint8_t **out, size_t *len);
/* tool_read_recipient reads an X25519 public key, tool_read_identity a private one into
 * memory of sg_secret_alloc, from a file that nobody else can read. Both PEM. */
bool tool_read_recipient(const char *path, uint8_t out[SG_SEAL_KEY_LEN]);
bool tool_read_identity(const char *path, uint8_t out[SG_SEAL_KEY_LEN]);
/* tool_open_output opens the file that the backup goes to, beside path, in the place of what a backup that was
 * cut off has left there; tool_close_output puts it there, synced, or removes it. */
bool tool_open_output(const char *path, bool may_replace, int *fd);
bool tool_close_output(const char *path, int fd, const uint8_t *bytes, size_t len,
                       bool may_replace);
void tool_drop_output(const char *path, int fd);

/* ---- Users (files.c) ---- */

struct tool_owner {
    uid_t uid;
    gid_t gid;
};
/* tool_find_owner says whose the keys are: the option's user; or who has DIR/keys, or DIR; or for root the
 * daemon's usual user; or this one. */
bool tool_find_owner(const struct tool_options *options, struct tool_owner *out);
/* tool_find_daemon says whose DIR is or will be: the option's user, or who has it, or the owner of the keys. */
bool tool_find_daemon(const struct tool_options *options, const struct tool_owner *owner,
                      struct tool_owner *out);
/* tool_become gives up being root, for ever. Nothing to do for others. */
bool tool_become(const struct tool_owner *owner);

#endif
