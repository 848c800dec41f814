/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-keystore: the keystore without the daemon. Run by `signet keystore init`, `backup` and
 * `restore`. Works as the owner of the keys: what only root may open is opened first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/keyholder/keystore_dir.h"
#include "server/keyholder/secret.h"
#include "server/keystore_tool/tool.h"

/* A backup beside a running daemon may meet a key-encryption key that is being changed. */
#define TOOL_MAX_TRIES 5u

static enum tool_exit tool_fail_message(signet_status status, const char *message)
{
    return tool_fail(status == SIGNET_INVALID_ARGUMENT ? TOOL_USAGE : TOOL_FAILED, "%s", message);
}

/* What is not there of the way to a directory is made, for everybody to pass. */
static bool tool_make_parents(const char *path)
{
    char part[4096];
    for (const char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        int len = snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
        if (len < 0 || (size_t)len >= sizeof(part) || (mkdir(part, 0755) != 0 && errno != EEXIST)) {
            (void)tool_fail(TOOL_FAILED, "%s cannot be made: %s", part, strerrordesc_np(errno));
            return false;
        }
    }
    return true;
}

/* Whoever has DIR is taken to be the daemon: it was named on the command line, and the keys in it are the
 * owner's, sealed, or there are none. */
static struct sg_keystore_place tool_place(const struct tool_options *options)
{
    struct stat info;
    return (struct sg_keystore_place){
        .dir = options->state_dir,
        .source = options->source,
        .passphrase_fd = options->passphrase_fd,
        .front_uid = stat(options->state_dir, &info) == 0 ? info.st_uid : UINT32_MAX,
    };
}

/* ---- init ---- */

static bool init_fail(const char *what, const char *path)
{
    (void)tool_fail(TOOL_FAILED, "%s %s: %s", what, path, strerrordesc_np(errno));
    return false;
}

/* Of an open state directory that is not the owner's. */
static bool init_let_owner_pass(int dir, const char *path)
{
    struct stat info;
    if (fstat(dir, &info) != 0) {
        return init_fail("cannot look at", path);
    }
    mode_t mode = (info.st_mode & 07777) | S_IXUSR | S_IXGRP | S_IXOTH;
    return mode == (info.st_mode & 07777) || fchmod(dir, mode) == 0 ||
           init_fail("cannot change the mode of", path);
}

/* Makes DIR/keys for somebody who may not. DIR's owner may put anything in its place meanwhile; what is given
 * away is a directory that root has made. */
static bool init_make_keys_dir(int dir, const char *path, const struct tool_owner *owner)
{
    struct stat info;
    if (mkdirat(dir, SG_KEYSTORE_DIR_NAME, 0700) != 0) {
        return errno == EEXIST || init_fail("cannot make " SG_KEYSTORE_DIR_NAME " in", path);
    }
    int keys = openat(dir, SG_KEYSTORE_DIR_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_given = keys >= 0 && fstat(keys, &info) == 0 && info.st_uid == 0 &&
                    fchmod(keys, 0700) == 0 && fchown(keys, owner->uid, owner->gid) == 0 &&
                    fsync(dir) == 0;
    if (!is_given) {
        (void)init_fail("cannot give away " SG_KEYSTORE_DIR_NAME " in", path);
    }
    if (keys >= 0) {
        (void)close(keys);
    }
    return is_given;
}

/* The keys of one user in the directory of another: only root can see to both. */
static bool init_share_state_dir(const struct tool_options *options, const struct tool_owner *owner)
{
    int dir = open(options->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return init_fail("cannot open", options->state_dir);
    }
    bool is_shared = init_let_owner_pass(dir, options->state_dir) &&
                     init_make_keys_dir(dir, options->state_dir, owner);
    (void)close(dir);
    return is_shared;
}

static bool init_make_state_dir(const struct tool_options *options, const struct tool_owner *owner,
                                const struct tool_owner *daemon)
{
    const char *dir = options->state_dir;
    if (!tool_make_parents(dir)) {
        return false;
    }
    /* One that is there keeps its owner; the keystore looks at who it is, and at the mode. */
    if (mkdir(dir, 0700) == 0) {
        if (chown(dir, daemon->uid, daemon->gid) != 0) {
            return init_fail("cannot give away", dir);
        }
    } else if (errno != EEXIST) {
        return init_fail("cannot make", dir);
    }
    return geteuid() != 0 || daemon->uid == owner->uid || init_share_state_dir(options, owner);
}

/* A key file that is there is used as it is. */
static bool init_make_key(const struct tool_options *options, const struct tool_owner *owner,
                          bool *is_made)
{
    char text[SG_KEYSTORE_MAX_MESSAGE] = "";
    const char *path = sg_kek_path(options->source);
    *is_made = false;
    if (path == NULL) {
        return true;
    }
    if (path[0] != '/') {
        (void)tool_fail(TOOL_USAGE, "--key: expected file: and an absolute path");
        return false;
    }
    if (!tool_make_parents(path)) {
        return false;
    }
    signet_status status =
        sg_kek_make_file(path, owner->uid, owner->gid, (struct sg_kek_message){.text = text});
    *is_made = status == SIGNET_OK;
    if (status != SIGNET_OK && status != SIGNET_ALREADY_EXISTS) {
        (void)tool_fail_message(status, text);
        return false;
    }
    return true;
}

static bool init_is_there(const char *state_dir)
{
    char path[4096];
    int len = snprintf(path, sizeof(path), "%s/" SG_KEYSTORE_DIR_NAME "/" SG_KEYSTORE_HEADER_NAME,
                       state_dir);
    return len > 0 && (size_t)len < sizeof(path) && access(path, F_OK) == 0;
}

static void init_report(const struct tool_options *options, const struct tool_owner *owner,
                        const struct tool_owner *daemon, bool is_key_made)
{
    (void)printf("made the keystore %s/" SG_KEYSTORE_DIR_NAME " for uid %u\n", options->state_dir,
                 (unsigned)owner->uid);
    if (daemon->uid != owner->uid) {
        (void)printf("%s itself is for uid %u, the daemon's\n", options->state_dir,
                     (unsigned)daemon->uid);
    }
    if (is_key_made) {
        (void)printf(
            "made its key-encryption key %s: keep a copy where the keystore's copies are not\n",
            sg_kek_path(options->source));
    }
}

static enum tool_exit tool_init(const struct tool_options *options)
{
    struct tool_owner owner;
    struct tool_owner daemon;
    char text[SG_KEYSTORE_MAX_MESSAGE] = "";
    bool is_made = false;
    if (init_is_there(options->state_dir)) {
        return tool_fail(TOOL_FAILED, "there is a keystore in %s already; nothing was changed",
                         options->state_dir);
    }
    if (!tool_find_owner(options, &owner) || !tool_find_daemon(options, &owner, &daemon) ||
        !init_make_state_dir(options, &owner, &daemon) ||
        !init_make_key(options, &owner, &is_made) || !tool_become(&owner)) {
        return TOOL_FAILED;
    }
    const struct sg_keystore_place place = tool_place(options);
    signet_status status = sg_keystore_init(&place, (struct sg_kek_message){.text = text});
    if (status != SIGNET_OK) {
        return tool_fail_message(status, text);
    }
    init_report(options, &owner, &daemon, is_made);
    return TOOL_GOOD;
}

/* ---- What closes a backup ---- */

struct tool_lock {
    struct sg_backup_lock lock;
    uint8_t *x25519; /* of sg_secret_alloc */
    struct sg_kek_material passphrase;
};

static void tool_lock_fini(struct tool_lock *lock)
{
    sg_secret_release(lock->x25519, SG_SEAL_KEY_LEN);
    sg_kek_material_fini(&lock->passphrase);
}

static bool tool_lock_passphrase(int fd, bool is_new, struct tool_lock *out)
{
    char text[SG_KEYSTORE_MAX_MESSAGE] = "";
    const struct sg_kek_message message = {.text = text};
    if (fd < 0) {
        (void)fputs(is_new ? "A new passphrase, for the backup.\n"
                           : "The passphrase of the backup.\n",
                    stderr);
    }
    signet_status status = is_new ? sg_kek_read_new("passphrase:", fd, &out->passphrase, message)
                                  : sg_kek_read("passphrase:", fd, &out->passphrase, message);
    if (status != SIGNET_OK) {
        (void)tool_fail_message(status, text);
        return false;
    }
    out->lock.passphrase = &out->passphrase;
    return true;
}

static bool tool_lock_x25519(const char *path, bool is_private, struct tool_lock *out)
{
    out->x25519 = sg_secret_alloc(SG_SEAL_KEY_LEN);
    if (out->x25519 == NULL) {
        (void)tool_fail(TOOL_FAILED, "no memory that is fit for secrets");
        return false;
    }
    out->lock.x25519 = out->x25519;
    return is_private ? tool_read_identity(path, out->x25519)
                      : tool_read_recipient(path, out->x25519);
}

/* ---- backup ---- */

static bool backup_has_damage(const struct sg_keystore *store)
{
    struct sg_keystore_entry entry;
    for (size_t i = 0; sg_keystore_entry(store, i, &entry); i++) {
        if (entry.fault != SG_KEYSTORE_FAULT_NONE) {
            return true;
        }
    }
    return false;
}

static void backup_complain(const struct sg_keystore *store)
{
    struct sg_keystore_entry entry;
    for (size_t i = 0; sg_keystore_entry(store, i, &entry); i++) {
        if (entry.fault != SG_KEYSTORE_FAULT_NONE) {
            (void)tool_fail(TOOL_FAILED, "not in the backup: %s", entry.message);
        }
    }
}

/* What looks like damage may be a daemon that is at work: it is looked at again. */
static signet_status backup_open_store(const struct tool_options *options, struct sg_keystore **out,
                                       char *text)
{
    const struct sg_keystore_place place = tool_place(options);
    /* A passphrase can be read only once. */
    unsigned num_tries = sg_kek_path(options->source) != NULL ? TOOL_MAX_TRIES : 1;
    signet_status status = SIGNET_INTERNAL;
    for (unsigned i = 0; i < num_tries; i++) {
        struct sg_keystore *store = NULL;
        status = sg_keystore_open(&place, true, &store, (struct sg_kek_message){.text = text});
        if (status == SIGNET_OK && (i + 1 == num_tries || !backup_has_damage(store))) {
            *out = store;
            return SIGNET_OK;
        }
        sg_keystore_close(store);
    }
    return status;
}

static signet_status backup_make(const struct tool_options *options,
                                 const struct sg_backup_lock *lock, uint8_t **bytes, size_t *len,
                                 size_t *num_keys, char *text)
{
    struct sg_keystore *store = NULL;
    signet_status status = SIGNET_INTERNAL;
    for (unsigned i = 0; i < TOOL_MAX_TRIES && status != SIGNET_OK; i++) {
        status = backup_open_store(options, &store, text);
        if (status != SIGNET_OK) {
            return status;
        }
        status = sg_backup_write(store, lock, bytes, len, num_keys,
                                 (struct sg_kek_message){.text = text});
        if (status == SIGNET_OK) {
            backup_complain(store);
        }
        sg_keystore_close(store);
        if (sg_kek_path(options->source) == NULL) {
            break;
        }
    }
    return status;
}

/* The keystore opens for its owner only. The file is of whoever started this, who goes on after. */
static signet_status backup_as_owner(const struct tool_options *options,
                                     const struct tool_owner *owner,
                                     const struct sg_backup_lock *lock, uint8_t **bytes,
                                     size_t *len, size_t *num_keys, char *text)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    bool changes = uid == 0 && owner->uid != 0;
    if (changes && (setegid(owner->gid) != 0 || seteuid(owner->uid) != 0)) {
        (void)snprintf(text, SG_KEYSTORE_MAX_MESSAGE, "cannot become uid %u: %s",
                       (unsigned)owner->uid, strerrordesc_np(errno));
        return SIGNET_INTERNAL;
    }
    signet_status status = backup_make(options, lock, bytes, len, num_keys, text);
    if (changes && (seteuid(uid) != 0 || setegid(gid) != 0)) {
        (void)snprintf(text, SG_KEYSTORE_MAX_MESSAGE, "cannot become uid %u again: %s",
                       (unsigned)uid, strerrordesc_np(errno));
        free(*bytes);
        return SIGNET_INTERNAL;
    }
    return status;
}

static enum tool_exit tool_backup(const struct tool_options *options)
{
    struct tool_owner owner;
    struct tool_lock lock = {0};
    char text[SG_KEYSTORE_MAX_MESSAGE] = "";
    uint8_t *bytes = NULL;
    size_t len = 0;
    size_t num_keys = 0;
    int fd = -1;
    bool is_ready = tool_find_owner(options, &owner) &&
                    (options->recipient != NULL
                         ? tool_lock_x25519(options->recipient, false, &lock)
                         : tool_lock_passphrase(options->backup_passphrase_fd, true, &lock)) &&
                    tool_open_output(options->file, options->may_replace, &fd);
    if (!is_ready) {
        tool_lock_fini(&lock);
        return TOOL_FAILED;
    }
    signet_status status =
        backup_as_owner(options, &owner, &lock.lock, &bytes, &len, &num_keys, text);
    tool_lock_fini(&lock);
    if (status != SIGNET_OK) {
        tool_drop_output(options->file, fd);
        return tool_fail_message(status, text);
    }
    bool is_written = tool_close_output(options->file, fd, bytes, len, options->may_replace);
    free(bytes);
    if (!is_written) {
        return TOOL_FAILED;
    }
    (void)printf("%zu keys are in %s\n", num_keys, options->file);
    return TOOL_GOOD;
}

/* ---- restore ---- */

static signet_status restore_into(const struct tool_options *options, const uint8_t *bytes,
                                  size_t len, const struct sg_backup_lock *lock,
                                  struct sg_backup_report *report, char *text)
{
    struct sg_keystore *store = NULL;
    const struct sg_keystore_place place = tool_place(options);
    signet_status status =
        sg_keystore_open(&place, false, &store, (struct sg_kek_message){.text = text});
    if (status == SIGNET_OK) {
        status = sg_backup_restore(store, bytes, len, lock, report,
                                   (struct sg_kek_message){.text = text});
    }
    sg_keystore_close(store);
    return status;
}

static enum tool_exit tool_restore(const struct tool_options *options)
{
    struct tool_owner owner;
    struct tool_lock lock = {0};
    struct sg_backup_report report = {0};
    char text[SG_KEYSTORE_MAX_MESSAGE] = "";
    enum sg_backup_kind kind = SG_BACKUP_X25519;
    uint8_t *bytes = NULL;
    size_t len = 0;
    if (!tool_find_owner(options, &owner) ||
        !tool_read_file(options->file, SG_BACKUP_MAX_LEN, &bytes, &len)) {
        return TOOL_FAILED;
    }
    signet_status status = sg_backup_kind(bytes, len, &kind, (struct sg_kek_message){.text = text});
    if (status == SIGNET_OK && kind == SG_BACKUP_X25519 && options->identity == NULL) {
        status = SIGNET_INVALID_ARGUMENT;
        (void)snprintf(text, sizeof(text),
                       "it is sealed to a public key: give the private one with --identity");
    }
    if (status != SIGNET_OK) {
        free(bytes);
        return tool_fail(TOOL_FAILED, "%s: %s", options->file, text);
    }
    bool is_ready = kind == SG_BACKUP_X25519
                        ? tool_lock_x25519(options->identity, true, &lock)
                        : tool_lock_passphrase(options->backup_passphrase_fd, false, &lock);
    is_ready = is_ready && tool_become(&owner);
    if (is_ready) {
        status = restore_into(options, bytes, len, &lock.lock, &report, text);
    }
    tool_lock_fini(&lock);
    free(bytes);
    if (!is_ready) {
        return TOOL_FAILED;
    }
    if (status != SIGNET_OK) {
        return tool_fail(TOOL_FAILED,
                         report.num_restored > 0 ? "%s: %s. %zu keys were brought back before"
                                                 : "%s: %s",
                         options->file, text, report.num_restored);
    }
    (void)printf("%zu keys were brought back; %zu were there already, and stay as they are\n",
                 report.num_restored, report.num_present);
    return TOOL_GOOD;
}

/* ---- All of it ---- */

int main(int argc, char **argv)
{
    struct tool_options options;
    enum tool_exit exit_status = TOOL_GOOD;
    const struct rlimit none = {0};
    if (!tool_options_read(argc, argv, &options, &exit_status)) {
        return (int)exit_status;
    }
    (void)umask(0022); /* what is for its owner alone is made so; what is to be passed must be */
    /* Private keys pass through: no core file, no tracer. */
    if (prctl(PR_SET_DUMPABLE, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0 ||
        sg_secret_heap_open() != SIGNET_OK) {
        return (int)tool_fail(TOOL_FAILED, "the process cannot be made fit for secrets");
    }
    switch (options.command) {
    case TOOL_INIT:
        return (int)tool_init(&options);
    case TOOL_BACKUP:
        return (int)tool_backup(&options);
    case TOOL_RESTORE:
        return (int)tool_restore(&options);
    }
    return (int)TOOL_USAGE;
}
