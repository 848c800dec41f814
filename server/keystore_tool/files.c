/* SPDX-License-Identifier: Apache-2.0
 *
 * Files beside the keystore, and whose they are.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/keyholder/keystore_dir.h"
#include "server/keyholder/secret.h"
#include "server/keystore_tool/tool.h"

#define FILES_MAX_PEM 4096u

static bool files_fail(const char *path, const char *what)
{
    (void)tool_fail(TOOL_FAILED, "%s: %s: %s", path, what, strerrordesc_np(errno));
    return false;
}

/* ---- Reading ---- */

static bool files_read_all(int fd, const char *path, size_t cap, uint8_t **out, size_t *len)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return files_fail(path, "cannot be read");
    }
    if (!S_ISREG(info.st_mode) || info.st_size < 0 || (size_t)info.st_size > cap) {
        (void)tool_fail(TOOL_FAILED, "%s: expected a file of at most %zu bytes", path, cap);
        return false;
    }
    size_t size = (size_t)info.st_size;
    uint8_t *bytes = malloc(size + 1);
    size_t done = 0;
    while (bytes != NULL && done < size) {
        ssize_t got = read(fd, bytes + done, size - done);
        if (got <= 0 && errno != EINTR) {
            OPENSSL_cleanse(bytes, done); /* a private key may be among what was read */
            free(bytes);
            return files_fail(path, "cannot be read");
        }
        done += got > 0 ? (size_t)got : 0;
    }
    if (bytes == NULL) {
        return files_fail(path, "no memory");
    }
    *out = bytes;
    *len = size;
    return true;
}

bool tool_read_file(const char *path, size_t cap, uint8_t **out, size_t *len)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return files_fail(path, "cannot be opened");
    }
    bool is_read = files_read_all(fd, path, cap, out, len);
    (void)close(fd);
    return is_read;
}

/* ---- Keys of backups ---- */

/* No key here has a passphrase: nobody is asked for one. */
static int files_no_passphrase(char *buffer, int size, int is_writing, void *context)
{
    (void)buffer;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

bool tool_read_recipient(const char *path, uint8_t out[SG_SEAL_KEY_LEN])
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    size_t raw_len = SG_SEAL_KEY_LEN;
    if (!tool_read_file(path, FILES_MAX_PEM, &bytes, &len)) {
        return false;
    }
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    EVP_PKEY *pkey = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, files_no_passphrase, NULL) : NULL;
    bool is_read = pkey != NULL && EVP_PKEY_is_a(pkey, "X25519") &&
                   EVP_PKEY_get_raw_public_key(pkey, out, &raw_len) == 1;
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    free(bytes);
    ERR_clear_error();
    if (!is_read) {
        (void)tool_fail(TOOL_FAILED, "%s: expected an X25519 public key in PEM", path);
    }
    return is_read;
}

static bool files_is_private(const char *path, int fd)
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return files_fail(path, "cannot be looked at");
    }
    if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
        (void)tool_fail(TOOL_FAILED, "%s can be read by others: chmod 0600 %s", path, path);
        return false;
    }
    return true;
}

bool tool_read_identity(const char *path, uint8_t out[SG_SEAL_KEY_LEN])
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    size_t raw_len = SG_SEAL_KEY_LEN;
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return files_fail(path, "cannot be opened");
    }
    bool is_there =
        files_is_private(path, fd) && files_read_all(fd, path, FILES_MAX_PEM, &bytes, &len);
    (void)close(fd);
    if (!is_there) {
        return false;
    }
    sg_secret_wiping_begin(); /* OpenSSL leaves copies in what it frees */
    BIO *bio = BIO_new_mem_buf(bytes, (int)len);
    EVP_PKEY *pkey =
        bio != NULL ? PEM_read_bio_PrivateKey(bio, NULL, files_no_passphrase, NULL) : NULL;
    bool is_read = pkey != NULL && EVP_PKEY_is_a(pkey, "X25519") &&
                   EVP_PKEY_get_raw_private_key(pkey, out, &raw_len) == 1;
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    sg_secret_wiping_end();
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    ERR_clear_error();
    if (!is_read) {
        (void)tool_fail(TOOL_FAILED, "%s: expected an X25519 private key in PEM, not encrypted",
                        path);
    }
    return is_read;
}

/* ---- Writing ---- */

/* A name that nobody gives to a file of worth: what a backup that was cut off has left is removed. */
static bool files_new_name(const char *path, char out[4096])
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    int len = snprintf(out, 4096, "%.*s.%s.partial", (int)(name - path), path, name);
    return len > 0 && len < 4096;
}

static bool files_fail_busy(const char *path)
{
    (void)tool_fail(TOOL_FAILED, "%s: another backup is being written to it", path);
    return false;
}

/* Whoever writes one has it locked. */
static bool files_drop_leftover(const char *path, const char *fresh)
{
    int fd = open(fresh, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return true; /* none, or none of ours */
    }
    bool is_busy = flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (!is_busy) {
        (void)unlink(fresh);
    }
    (void)close(fd);
    return !is_busy || files_fail_busy(path);
}

bool tool_open_output(const char *path, bool may_replace, int *fd)
{
    char fresh[4096];
    if (!may_replace && access(path, F_OK) == 0) {
        (void)tool_fail(TOOL_FAILED, "%s is there already; --force replaces it", path);
        return false;
    }
    if (!files_new_name(path, fresh)) {
        errno = ENAMETOOLONG;
        return files_fail(path, "cannot be made");
    }
    if (!files_drop_leftover(path, fresh)) {
        return false;
    }
    *fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (*fd < 0) {
        return files_fail(fresh, "cannot be made");
    }
    /* Another may have taken it for a leftover in between. */
    struct stat info;
    bool is_busy = flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
    if (is_busy || fstat(*fd, &info) != 0 || info.st_nlink == 0) {
        (void)close(*fd);
        return files_fail_busy(path);
    }
    return true;
}

void tool_drop_output(const char *path, int fd)
{
    char fresh[4096];
    (void)close(fd);
    if (files_new_name(path, fresh)) {
        (void)unlink(fresh);
    }
}

static bool files_sync_dir(const char *path)
{
    char dir[4096];
    const char *slash = strrchr(path, '/');
    int len = snprintf(dir, sizeof(dir), "%.*s", slash != NULL ? (int)(slash - path + 1) : 1,
                       slash != NULL ? path : ".");
    int fd = len > 0 && len < (int)sizeof(dir) ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool is_synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return is_synced;
}

bool tool_close_output(const char *path, int fd, const uint8_t *bytes, size_t len, bool may_replace)
{
    char fresh[4096];
    size_t done = 0;
    while (done < len) {
        ssize_t part = write(fd, bytes + done, len - done);
        if (part < 0 && errno != EINTR) {
            break;
        }
        done += part > 0 ? (size_t)part : 0;
    }
    if (done < len || fsync(fd) != 0 || !files_new_name(path, fresh) ||
        renameat2(AT_FDCWD, fresh, AT_FDCWD, path, may_replace ? 0 : RENAME_NOREPLACE) != 0) {
        int number = errno;
        tool_drop_output(path, fd);
        errno = number;
        return files_fail(path, "cannot be written");
    }
    (void)close(fd);
    return files_sync_dir(path) || files_fail(path, "cannot be synced");
}

/* ---- Users ---- */

/* The user that the service file and the examples run the daemon as. */
#define FILES_USUAL_USER "signet"

/* By name or by number, as the daemon's messages have it. */
static bool files_find_user(const char *name, struct tool_owner *out)
{
    char *end = NULL;
    unsigned long number = strtoul(name, &end, 10);
    bool is_number = name[0] >= '0' && name[0] <= '9' && *end == '\0' && number < (uid_t)-1;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread. */
    const struct passwd *entry = is_number ? getpwuid((uid_t)number) : getpwnam(name);
    if (entry != NULL) {
        *out = (struct tool_owner){.uid = entry->pw_uid, .gid = entry->pw_gid};
    }
    return entry != NULL;
}

static bool files_name_user(const char *name, struct tool_owner *out)
{
    if (files_find_user(name, out)) {
        return true;
    }
    bool is_number = name[0] >= '0' && name[0] <= '9';
    (void)tool_fail(TOOL_FAILED,
                    is_number ? "there is no user %s"
                              : "there is no user %s; make one: useradd --system %s",
                    name, name);
    return false;
}

static bool files_fail_another(const char *what)
{
    (void)tool_fail(TOOL_FAILED, "%s is another user's: run this as that user, or as root", what);
    return false;
}

static bool files_owner_of(const char *path, struct tool_owner *out)
{
    struct stat info;
    if (stat(path, &info) != 0) {
        return false;
    }
    *out = (struct tool_owner){.uid = info.st_uid, .gid = info.st_gid};
    return true;
}

/* For root: whose the keys are, or will be. */
static bool files_guess_owner(const char *keys, const char *dir, struct tool_owner *out)
{
    if (files_owner_of(keys, out) || files_owner_of(dir, out) ||
        files_find_user(FILES_USUAL_USER, out)) {
        return true;
    }
    (void)tool_fail(TOOL_FAILED,
                    "%s is not there, and neither is a user " FILES_USUAL_USER
                    ": name the daemon's user with --owner USER, or make that one: "
                    "useradd --system " FILES_USUAL_USER,
                    dir);
    return false;
}

/* For others: keys that are there have to be their own. */
static bool files_is_own(const char *keys, const char *dir)
{
    struct tool_owner owner;
    if (files_owner_of(keys, &owner)) {
        return owner.uid == geteuid() || files_fail_another(keys);
    }
    if (errno == EACCES) {
        (void)tool_fail(TOOL_FAILED,
                        "%s cannot be reached: run this as the user whose it is, or as root; if "
                        "this is that user: chmod 0711 %s",
                        keys, dir);
        return false;
    }
    return true;
}

bool tool_find_owner(const struct tool_options *options, struct tool_owner *out)
{
    char keys[4096];
    const char *dir = options->state_dir;
    (void)snprintf(keys, sizeof(keys), "%s/" SG_KEYSTORE_DIR_NAME, dir);
    *out = (struct tool_owner){.uid = geteuid(), .gid = getegid()};
    if (options->owner != NULL && !files_name_user(options->owner, out)) {
        return false;
    }
    if (geteuid() == 0) {
        return options->owner != NULL || files_guess_owner(keys, dir, out);
    }
    return out->uid == geteuid() ? files_is_own(keys, dir) : files_fail_another(options->owner);
}

bool tool_find_daemon(const struct tool_options *options, const struct tool_owner *owner,
                      struct tool_owner *out)
{
    struct tool_owner found = *owner;
    bool is_there = files_owner_of(options->state_dir, &found);
    *out = found;
    if (options->daemon_user == NULL) {
        return true;
    }
    if (!files_name_user(options->daemon_user, out)) {
        return false;
    }
    if (is_there && found.uid != out->uid) {
        (void)tool_fail(TOOL_FAILED, "%s belongs to uid %u, and not to %s: chown %s %s",
                        options->state_dir, (unsigned)found.uid, options->daemon_user,
                        options->daemon_user, options->state_dir);
        return false;
    }
    if (!is_there && geteuid() != 0 && out->uid != geteuid()) {
        (void)tool_fail(TOOL_FAILED, "only root can make %s for another user: run this as root",
                        options->state_dir);
        return false;
    }
    return true;
}

bool tool_become(const struct tool_owner *owner)
{
    if (geteuid() != 0 || owner->uid == 0) {
        return true;
    }
    if (setgroups(0, NULL) != 0 || setgid(owner->gid) != 0 || setuid(owner->uid) != 0 ||
        setuid(0) == 0) {
        (void)tool_fail(TOOL_FAILED, "cannot become uid %u: %s", (unsigned)owner->uid,
                        strerrordesc_np(errno));
        return false;
    }
    return true;
}
