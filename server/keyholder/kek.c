/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading key-encryption keys and passphrases. Nothing that was read is left in ordinary memory.
 */
#include "server/keyholder/kek.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "server/keyholder/secret.h"

#define KEK_FILE       "file:"
#define KEK_CREDENTIAL "credential:"
#define KEK_PASSPHRASE "passphrase:"
#define KEK_MAX_PATH   2200u

signet_status sg_kek_fail(struct sg_kek_message message, signet_status status, const char *format,
                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message.text, SG_KEYSTORE_MAX_MESSAGE, format, arguments);
    va_end(arguments);
    return status;
}

signet_status sg_kek_fail_closed(const char *path, struct sg_kek_message message)
{
    char dir[KEK_MAX_PATH];
    struct stat info;
    (void)snprintf(dir, sizeof(dir), "%s", path);
    /* The longest part of it that can be looked at. */
    for (char *slash = strrchr(dir, '/'); slash != NULL && slash != dir;
         slash = strrchr(dir, '/')) {
        *slash = '\0';
        if (stat(dir, &info) == 0) {
            return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                               "%s cannot be reached: uid %u may not pass %s, which has mode %04o "
                               "and belongs to uid %u: chmod %04o %s",
                               path, (unsigned)geteuid(), dir, (unsigned)(info.st_mode & 07777),
                               (unsigned)info.st_uid, (unsigned)(info.st_mode & 07777) | 0111u,
                               dir);
        }
    }
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s: %s", path,
                       strerrordesc_np(EACCES));
}

static signet_status kek_no_memory(struct sg_kek_message message)
{
    ERR_clear_error();
    return sg_kek_fail(message, SIGNET_RESOURCE_EXHAUSTED, "no memory that is fit for secrets");
}

const char *sg_kek_path(const char *source)
{
    return strncmp(source, KEK_FILE, strlen(KEK_FILE)) == 0 ? source + strlen(KEK_FILE) : NULL;
}

bool sg_kek_is_credential(const char *source)
{
    return strncmp(source, KEK_CREDENTIAL, strlen(KEK_CREDENTIAL)) == 0;
}

void sg_kek_material_fini(struct sg_kek_material *material)
{
    sg_secret_release(material->bytes, material->len);
    *material = (struct sg_kek_material){0};
}

/* ---- Files ---- */

/* A credential is the service manager's to protect; a file has to belong to us and be nobody else's. */
static signet_status kek_check_file(const char *path, const struct stat *info, bool is_credential,
                                    struct sg_kek_message message)
{
    uid_t uid = geteuid();
    if (!S_ISREG(info->st_mode)) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s: expected a regular file of 32 bytes", path);
    }
    if (info->st_uid != uid && (info->st_uid != 0 || !is_credential)) {
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "%s belongs to uid %u, and not to the user that holds the keys: chown %u %s", path,
            (unsigned)info->st_uid, (unsigned)uid, path);
    }
    if ((info->st_mode & (S_IWGRP | S_IRWXO | S_IXUSR | S_IXGRP)) != 0 ||
        (!is_credential && (info->st_mode & S_IRWXG) != 0)) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s can be read or written by others (mode %04o): chmod 0600 %s", path,
                           (unsigned)(info->st_mode & 07777), path);
    }
    if (info->st_size != SG_KEYSTORE_KEY_LEN) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "%s: expected exactly 32 bytes, and it has %lld", path,
                           (long long)info->st_size);
    }
    return SIGNET_OK;
}

static signet_status kek_read_bytes(int fd, const char *path, struct sg_kek_material *out,
                                    struct sg_kek_message message)
{
    uint8_t *bytes = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    if (bytes == NULL) {
        return kek_no_memory(message);
    }
    if (read(fd, bytes, SG_KEYSTORE_KEY_LEN) != SG_KEYSTORE_KEY_LEN) {
        sg_secret_release(bytes, SG_KEYSTORE_KEY_LEN);
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "%s: cannot be read: %s", path,
                           strerrordesc_np(errno));
    }
    *out = (struct sg_kek_material){
        .kind = SG_KEYSTORE_KEY_RAW, .bytes = bytes, .len = SG_KEYSTORE_KEY_LEN};
    return SIGNET_OK;
}

/* Its owner and its mode say more than the number. */
static signet_status kek_fail_open(const char *path, int number, bool is_credential,
                                   struct sg_kek_message message)
{
    struct stat info;
    if (number != ENOENT && lstat(path, &info) == 0) {
        signet_status status = kek_check_file(path, &info, is_credential, message);
        if (status != SIGNET_OK) {
            return status;
        }
    } else if (number == EACCES && !is_credential) {
        return sg_kek_fail_closed(path, message);
    }
    if (number == EACCES && is_credential) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "the credential %s is closed to uid %u: systemd gives it to the user of "
                           "its unit alone; use a file, or a unit of the keyholder's own "
                           "(keyholder.socket)",
                           path, (unsigned)geteuid());
    }
    return sg_kek_fail(
        message, SIGNET_FAILED_PRECONDITION, "the key-encryption key %s cannot be opened: %s%s",
        path, strerrordesc_np(number),
        number == ENOENT && !is_credential
            ? "; bring it back from its copy, without which the keystore cannot be opened"
            : "");
}

static signet_status kek_read_file(const char *path, bool is_credential,
                                   struct sg_kek_material *out, struct sg_kek_message message)
{
    struct stat info;
    /* A FIFO must not keep the start waiting. */
    int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return kek_fail_open(path, errno, is_credential, message);
    }
    signet_status status =
        fstat(fd, &info) == 0
            ? kek_check_file(path, &info, is_credential, message)
            : sg_kek_fail(message, SIGNET_INTERNAL, "%s: %s", path, strerrordesc_np(errno));
    if (status == SIGNET_OK) {
        status = kek_read_bytes(fd, path, out, message);
    }
    (void)close(fd);
    return status;
}

static signet_status kek_read_credential(const char *name, struct sg_kek_material *out,
                                         struct sg_kek_message message)
{
    char path[KEK_MAX_PATH];
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nothing here sets the environment. */
    const char *dir = getenv("CREDENTIALS_DIRECTORY");
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                           "credential: expected the name of a systemd credential");
    }
    if (dir == NULL || dir[0] != '/') {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                           "credential:%s: there are no credentials; the service needs "
                           "LoadCredential=%s:PATH or LoadCredentialEncrypted=",
                           name, name);
    }
    int len = snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT, "credential: the path is too long");
    }
    return kek_read_file(path, true, out, message);
}

/* Syncs the directory that the file is in. */
static bool kek_sync_parent(const char *path)
{
    char parent[KEK_MAX_PATH];
    const char *slash = strrchr(path, '/');
    size_t len = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (len >= sizeof(parent)) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    int fd = open(len > 0 ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool synced = fd >= 0 && fsync(fd) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return synced;
}

signet_status sg_kek_make_file(const char *path, uid_t uid, gid_t gid,
                               struct sg_kek_message message)
{
    uint8_t bytes[SG_KEYSTORE_KEY_LEN];
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return sg_kek_fail(message,
                           errno == EEXIST ? SIGNET_ALREADY_EXISTS : SIGNET_FAILED_PRECONDITION,
                           "%s cannot be made: %s", path, strerrordesc_np(errno));
    }
    bool is_random = RAND_priv_bytes(bytes, sizeof(bytes)) == 1;
    bool is_there = is_random && fchmod(fd, 0600) == 0 && fchown(fd, uid, gid) == 0 &&
                    write(fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes) && fsync(fd) == 0;
    int number = errno;
    OPENSSL_cleanse(bytes, sizeof(bytes));
    ERR_clear_error();
    (void)close(fd);
    if (is_there && !kek_sync_parent(path)) {
        number = errno;
        is_there = false;
    }
    if (!is_there) {
        bool is_full = number == ENOSPC || number == EDQUOT || number == EFBIG;
        (void)unlink(path);
        return sg_kek_fail(message, is_full ? SIGNET_RESOURCE_EXHAUSTED : SIGNET_INTERNAL,
                           "%s cannot be written: %s", path,
                           is_random ? strerrordesc_np(number) : "no random bytes");
    }
    return SIGNET_OK;
}

/* ---- Passphrases ---- */

static signet_status kek_fail_long(struct sg_kek_message message)
{
    return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                       "the passphrase is longer than %u bytes", SG_KEK_MAX_PASSPHRASE);
}

/* Reads up to a line's end or the end of the input; more than there is room for is an error. */
static signet_status kek_read_line(int fd, uint8_t *out, size_t *len, struct sg_kek_message message)
{
    *len = 0;
    for (;;) {
        char byte = 0;
        ssize_t got = read(fd, &byte, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                               "the passphrase cannot be read: %s", strerrordesc_np(errno));
        }
        if (got == 0 || byte == '\n') {
            break;
        }
        if (*len == SG_KEK_MAX_PASSPHRASE) {
            return kek_fail_long(message);
        }
        out[(*len)++] = (uint8_t)byte;
    }
    return SIGNET_OK;
}

/* What was typed, taken back by as much as one character. */
static size_t kek_erase(const uint8_t *typed, size_t len)
{
    while (len > 0 && (typed[len - 1] & 0xc0u) == 0x80u) { /* the rest of one in UTF-8 */
        len--;
    }
    return len > 0 ? len - 1 : 0;
}

/* The terminal's own keys for this are switched off, so that no signal can end the process before the
 * terminal is as it was. */
static signet_status kek_type(int tty, uint8_t *out, size_t *len, struct sg_kek_message message)
{
    enum {
        TYPE_INTERRUPT = 3,
        TYPE_END = 4,
        TYPE_BACKSPACE = 8,
        TYPE_CLEAR = 21,
        TYPE_DELETE = 127
    };
    *len = 0;
    for (;;) {
        uint8_t byte = 0;
        ssize_t got = read(tty, &byte, 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0 || byte == TYPE_INTERRUPT) {
            return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "no passphrase was given");
        }
        if (byte == '\n' || byte == '\r' || byte == TYPE_END) {
            return SIGNET_OK;
        }
        if (byte == TYPE_BACKSPACE || byte == TYPE_DELETE) {
            *len = kek_erase(out, *len);
        } else if (byte == TYPE_CLEAR) {
            *len = 0;
        } else if (*len < SG_KEK_MAX_PASSPHRASE) {
            out[(*len)++] = byte;
        } else {
            return kek_fail_long(message);
        }
    }
}

static signet_status kek_ask(const char *prompt, uint8_t *out, size_t *len,
                             struct sg_kek_message message)
{
    struct termios usual;
    int tty = open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0 || tcgetattr(tty, &usual) != 0) {
        if (tty >= 0) {
            (void)close(tty);
        }
        return sg_kek_fail(
            message, SIGNET_FAILED_PRECONDITION,
            "there is no terminal to ask for the passphrase; give it on a descriptor: --passphrase-fd N, "
            "or for a backup --backup-passphrase-fd N");
    }
    struct termios silent = usual;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ECHOE | ECHOK | ECHONL | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    /* What was typed before is not taken. */
    bool asked = tcsetattr(tty, TCSAFLUSH, &silent) == 0 && write(tty, prompt, strlen(prompt)) > 0;
    signet_status status = asked ? kek_type(tty, out, len, message)
                                 : sg_kek_fail(message, SIGNET_FAILED_PRECONDITION,
                                               "the terminal cannot be written to");
    (void)tcsetattr(tty, TCSAFLUSH, &usual);
    ssize_t unused = write(tty, "\n", 1);
    (void)unused;
    (void)close(tty);
    return status;
}

static signet_status kek_ask_again(const uint8_t *first, size_t first_len, uint8_t *room,
                                   struct sg_kek_message message)
{
    size_t len = 0;
    signet_status status = kek_ask("The same once more: ", room, &len, message);
    if (status == SIGNET_OK && (len != first_len || CRYPTO_memcmp(first, room, len) != 0)) {
        status = sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                             "the two passphrases differ; nothing was changed");
    }
    return status;
}

/* room has space for two. */
static signet_status kek_fill_passphrase(int fd, bool is_new, uint8_t *room, size_t *len,
                                         struct sg_kek_message message)
{
    signet_status status = fd >= 0 ? kek_read_line(fd, room, len, message)
                                   : kek_ask("Passphrase of the keystore: ", room, len, message);
    if (status == SIGNET_OK && *len == 0) {
        return sg_kek_fail(message, SIGNET_FAILED_PRECONDITION, "the passphrase is empty");
    }
    if (status == SIGNET_OK && is_new && *len < SG_KEK_MIN_PASSPHRASE) {
        return sg_kek_fail(message, SIGNET_INVALID_ARGUMENT,
                           "the passphrase is shorter than %u bytes", SG_KEK_MIN_PASSPHRASE);
    }
    if (status == SIGNET_OK && is_new && fd < 0) {
        status = kek_ask_again(room, *len, room + SG_KEK_MAX_PASSPHRASE, message);
    }
    return status;
}

static signet_status kek_read_passphrase(int fd, bool is_new, struct sg_kek_material *out,
                                         struct sg_kek_message message)
{
    size_t len = 0;
    const size_t room_len = 2u * SG_KEK_MAX_PASSPHRASE;
    uint8_t *room = sg_secret_alloc(room_len);
    if (room == NULL) {
        return kek_no_memory(message);
    }
    signet_status status = kek_fill_passphrase(fd, is_new, room, &len, message);
    if (status == SIGNET_OK) {
        uint8_t *bytes = sg_secret_alloc(len);
        if (bytes != NULL) {
            memcpy(bytes, room, len);
            *out = (struct sg_kek_material){
                .kind = SG_KEYSTORE_KEY_PASSPHRASE, .bytes = bytes, .len = len};
        } else {
            status = kek_no_memory(message);
        }
    }
    sg_secret_release(room, room_len);
    return status;
}

/* ---- The sources ---- */

static const char *kek_credential(const char *source)
{
    return strncmp(source, KEK_CREDENTIAL, strlen(KEK_CREDENTIAL)) == 0
               ? source + strlen(KEK_CREDENTIAL)
               : NULL;
}

uint32_t sg_kek_kind(const char *source)
{
    if (strcmp(source, KEK_PASSPHRASE) == 0) {
        return SG_KEYSTORE_KEY_PASSPHRASE;
    }
    return sg_kek_path(source) != NULL || kek_credential(source) != NULL ? SG_KEYSTORE_KEY_RAW : 0;
}

static signet_status kek_read(const char *source, int passphrase_fd, bool is_new,
                              struct sg_kek_material *out, struct sg_kek_message message)
{
    if (sg_secret_heap_open() != SIGNET_OK) {
        return kek_no_memory(message);
    }
    if (sg_kek_path(source) != NULL) {
        return kek_read_file(sg_kek_path(source), false, out, message);
    }
    if (kek_credential(source) != NULL) {
        return kek_read_credential(kek_credential(source), out, message);
    }
    if (strcmp(source, KEK_PASSPHRASE) == 0) {
        return kek_read_passphrase(passphrase_fd, is_new, out, message);
    }
    return sg_kek_fail(
        message, SIGNET_INVALID_ARGUMENT,
        "the key-encryption key: expected file:PATH, credential:NAME or passphrase:");
}

signet_status sg_kek_read(const char *source, int passphrase_fd, struct sg_kek_material *out,
                          struct sg_kek_message message)
{
    return kek_read(source, passphrase_fd, false, out, message);
}

signet_status sg_kek_read_new(const char *source, int passphrase_fd, struct sg_kek_material *out,
                              struct sg_kek_message message)
{
    return kek_read(source, passphrase_fd, true, out, message);
}

signet_status sg_kek_derive(const struct sg_kek_material *material,
                            const struct sg_keystore_scrypt *scrypt,
                            uint8_t out[SG_KEYSTORE_KEY_LEN])
{
    if (material->kind == SG_KEYSTORE_KEY_RAW) {
        if (material->len != SG_KEYSTORE_KEY_LEN) {
            return SIGNET_INVALID_ARGUMENT;
        }
        memcpy(out, material->bytes, SG_KEYSTORE_KEY_LEN);
        return SIGNET_OK;
    }
    /* A little more than the table, for what OpenSSL needs beside it. */
    int derived =
        EVP_PBE_scrypt((const char *)material->bytes, material->len, scrypt->salt,
                       sizeof(scrypt->salt), (uint64_t)1 << scrypt->log2_n, scrypt->r, scrypt->p,
                       (uint64_t)SG_KEYSTORE_SCRYPT_MEMORY + (1u << 20), out, SG_KEYSTORE_KEY_LEN);
    ERR_clear_error();
    return derived == 1 ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
}

/* The terms of a wrap for material: a fresh salt for a passphrase. */
static signet_status kek_set_terms(struct sg_keystore_wrap *wrap,
                                   const struct sg_kek_material *material, const char *source)
{
    *wrap = (struct sg_keystore_wrap){.kind = material->kind};
    (void)snprintf(wrap->source, sizeof(wrap->source), "%s", source);
    if (material->kind == SG_KEYSTORE_KEY_RAW) {
        return SIGNET_OK;
    }
    wrap->scrypt = (struct sg_keystore_scrypt){
        .log2_n = SG_KEYSTORE_SCRYPT_LOG2_N, .r = SG_KEYSTORE_SCRYPT_R, .p = SG_KEYSTORE_SCRYPT_P};
    return RAND_bytes(wrap->scrypt.salt, sizeof(wrap->scrypt.salt)) == 1 ? SIGNET_OK
                                                                         : SIGNET_INTERNAL;
}

signet_status sg_kek_wrap_kept(struct sg_keystore_header *header, uint32_t index,
                               const struct sg_kek_material *material, const char *source,
                               uint8_t *kek, const uint8_t *keys)
{
    struct sg_keystore_wrap *wrap = &header->wraps[index];
    signet_status status = kek_set_terms(wrap, material, source);
    if (status == SIGNET_OK) {
        status = sg_kek_derive(material, &wrap->scrypt, kek);
    }
    return status == SIGNET_OK ? sg_keystore_header_wrap(header, index, kek, keys) : status;
}

signet_status sg_kek_wrap(struct sg_keystore_header *header, uint32_t index,
                          const struct sg_kek_material *material, const char *source,
                          const uint8_t *keys)
{
    uint8_t *kek = sg_secret_alloc(SG_KEYSTORE_KEY_LEN);
    signet_status status = kek != NULL
                               ? sg_kek_wrap_kept(header, index, material, source, kek, keys)
                               : SIGNET_RESOURCE_EXHAUSTED;
    sg_secret_release(kek, SG_KEYSTORE_KEY_LEN);
    ERR_clear_error();
    return status;
}
