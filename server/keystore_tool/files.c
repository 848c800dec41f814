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
#include <sys/stat.h>
#include <unistd.h>

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

static bool files_new_name(const char *path, char out[4096])
{
    int len = snprintf(out, 4096, "%s.new", path);
    return len > 0 && len < 4096;
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
    if (may_replace) {
        (void)unlink(fresh); /* of a backup that was cut off */
    }
    *fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    return *fd >= 0 || files_fail(fresh, "cannot be made");
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

static bool files_find_user(const char *name, struct tool_owner *out)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): there is no other thread. */
    const struct passwd *entry = getpwnam(name);
    if (entry != NULL) {
        *out = (struct tool_owner){.uid = entry->pw_uid, .gid = entry->pw_gid};
    }
    return entry != NULL;
}

bool tool_find_owner(const char *name, const char *path, struct tool_owner *out)
{
    struct stat info;
    *out = (struct tool_owner){.uid = geteuid(), .gid = getegid()};
    if (name != NULL) {
        if (!files_find_user(name, out)) {
            (void)tool_fail(TOOL_FAILED, "there is no user %s; make one: useradd --system %s", name,
                            name);
            return false;
        }
    } else if (stat(path, &info) == 0) {
        *out = (struct tool_owner){.uid = info.st_uid, .gid = info.st_gid};
    } else if (geteuid() == 0 && !files_find_user(FILES_USUAL_USER, out)) {
        (void)tool_fail(TOOL_FAILED,
                        "%s is not there, and neither is a user " FILES_USUAL_USER
                        ": name the daemon's user with --owner USER, or make that one: "
                        "useradd --system " FILES_USUAL_USER,
                        path);
        return false;
    }
    if (geteuid() != 0 && out->uid != geteuid()) {
        (void)tool_fail(TOOL_FAILED, "%s is another user's: run this as that user, or as root",
                        name != NULL ? name : path);
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
