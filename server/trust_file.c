/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading and judging the files of one foreign issuer. What they hold becomes public keys or nothing.
 */
#include "server/trust_file.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/jose/json.h"
#include "common/jose/jwk.h"
#include "server/config.h"
#include "server/yaml_text.h"

#define TRUST_MAX_YAML  (64u << 10)
#define TRUST_MAX_JWKS  (1u << 20)
#define TRUST_MAX_DEPTH 8u

/* ---- Schema ---- */

struct trust_text {
    const char *issuer, *jwks;
    const char **algorithms, **audiences;
    unsigned algorithms_count, audiences_count;
};

static const cyaml_schema_value_t trust_text_item = {
    CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, CYAML_UNLIMITED),
};

static const cyaml_schema_field_t trust_text_fields[] = {
    SG_YAML_TEXT_FIELD(struct trust_text, issuer),
    CYAML_FIELD_SEQUENCE("algorithms", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct trust_text,
                         algorithms, &trust_text_item, 0, SG_ALG_COUNT),
    /* None would mean any, which an empty list does not look like. */
    CYAML_FIELD_SEQUENCE("audiences", CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL, struct trust_text,
                         audiences, &trust_text_item, 1, SG_MAX_AUDIENCES),
    SG_YAML_TEXT_FIELD(struct trust_text, jwks),
    CYAML_FIELD_END,
};

static const cyaml_schema_value_t trust_text_schema = {
    CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, struct trust_text, trust_text_fields),
};

/* ---- Files ---- */

struct sg_trust_stamp sg_trust_stamp_of(const char *path)
{
    struct stat info;
    if (path[0] == '\0' || stat(path, &info) != 0) {
        return (struct sg_trust_stamp){.is_there = false};
    }
    return (struct sg_trust_stamp){
        .is_there = true,
        .dev = info.st_dev,
        .ino = info.st_ino,
        .mode = info.st_mode,
        .uid = info.st_uid,
        .size = info.st_size,
        .mtime = info.st_mtim,
        .ctime = info.st_ctim,
    };
}

static bool trust_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool sg_trust_stamp_same(const struct sg_trust_stamp *a, const struct sg_trust_stamp *b)
{
    if (!a->is_there || !b->is_there) {
        return a->is_there == b->is_there;
    }
    return a->dev == b->dev && a->ino == b->ino && a->mode == b->mode && a->uid == b->uid &&
           a->size == b->size && trust_same_time(&a->mtime, &b->mtime) &&
           trust_same_time(&a->ctime, &b->ctime);
}

static signet_status trust_fail(char *line, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static signet_status trust_fail(char *line, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(line, SG_TRUST_MAX_LINE, format, arguments);
    va_end(arguments);
    return SIGNET_INVALID_ARGUMENT;
}

/* Whoever can write these decides whose tokens are good. */
static signet_status trust_check_owner(const char *path, const struct stat *info, char *line)
{
    if (info->st_uid != 0 && info->st_uid != geteuid()) {
        return trust_fail(line,
                          "%.600s: belongs to uid %u; expected root or the daemon's user: "
                          "chown %u %.600s",
                          path, (unsigned)info->st_uid, (unsigned)geteuid(), path);
    }
    if ((info->st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return trust_fail(line, "%.600s: can be written by others (mode %04o): chmod go-w %.600s",
                          path, (unsigned)(info->st_mode & 07777), path);
    }
    return SIGNET_OK;
}

signet_status sg_trust_file_check_dir(const char *dir, int fd, char line[SG_TRUST_MAX_LINE])
{
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return trust_fail(line, "%.600s: %s", dir, strerrordesc_np(errno));
    }
    return trust_check_owner(dir, &info, line);
}

/* Whoever can write the directory of a file can put another in its place, such as another issuer's. One that
 * is not there is not for us to name: the file is not there either. */
static signet_status trust_check_parent(const char *path, char *line)
{
    char parent[SG_TRUST_MAX_PATH];
    struct stat info;
    const char *slash = strrchr(path, '/');
    int len = slash != NULL ? (int)(slash - path) : 0;
    (void)snprintf(parent, sizeof(parent), "%.*s", len > 0 ? len : 1, path);
    if (stat(parent, &info) != 0 || trust_check_owner(parent, &info, line) == SIGNET_OK) {
        return SIGNET_OK;
    }
    return SIGNET_UNAVAILABLE; /* it can be mended without a change of the file */
}

static signet_status trust_read_fd(const char *path, int fd, size_t cap, char **out, size_t *len,
                                   char *line)
{
    struct stat info;
    size_t done = 0;
    ssize_t got = 1;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        return trust_fail(line, "%.600s: is not a regular file; expected one", path);
    }
    if (info.st_size > (off_t)cap) {
        return trust_fail(line, "%.600s: is too large; expected at most %zu KiB", path, cap >> 10);
    }
    signet_status status = trust_check_owner(path, &info, line);
    if (status != SIGNET_OK) {
        return status;
    }
    char *bytes = malloc(cap + 1);
    if (bytes == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    while (got > 0 && done <= cap) {
        got = read(fd, bytes + done, cap + 1 - done);
        done += got > 0 ? (size_t)got : 0;
    }
    if (got < 0 || done > cap) {
        free(bytes);
        (void)trust_fail(line, "%.600s: cannot be read, or grows while it is read", path);
        return SIGNET_UNAVAILABLE;
    }
    *out = bytes;
    *len = done;
    return SIGNET_OK;
}

/* Links are followed, as operators make them; what they lead to is looked at. */
static signet_status trust_read(const char *path, size_t cap, char **out, size_t *len, char *line)
{
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 && errno == EACCES) {
        (void)trust_fail(line,
                         "%.600s: the daemon's user must be able to read it, and to enter the "
                         "directories above it: chmod a+r %.600s",
                         path, path);
        return SIGNET_UNAVAILABLE;
    }
    if (fd < 0) {
        (void)trust_fail(line, "%.600s: cannot be opened: %s", path, strerrordesc_np(errno));
        return SIGNET_UNAVAILABLE;
    }
    signet_status status = trust_read_fd(path, fd, cap, out, len, line);
    (void)close(fd);
    return status;
}

/* ---- The YAML file ---- */

/* What one file is judged with. */
struct trust_check {
    const char *path;
    const struct sg_config_lines *lines;
    char *line;
};

static signet_status trust_fail_at(const struct trust_check *check, const char *key,
                                   const char *what)
{
    return trust_fail(check->line, "%.600s:%zu: %s: %s", check->path,
                      sg_config_lines_find(check->lines, key), key, what);
}

struct trust_algs {
    enum sg_alg list[SG_ALG_COUNT];
    size_t num;
};

static bool trust_has_alg(const struct trust_algs *algs, enum sg_alg alg)
{
    for (size_t i = 0; i < algs->num; i++) {
        if (algs->list[i] == alg) {
            return true;
        }
    }
    return false;
}

static signet_status trust_take_algorithms(const struct trust_check *check,
                                           const struct trust_text *text, struct trust_algs *out)
{
    char key[32];
    out->num = 0;
    for (unsigned i = 0; i < text->algorithms_count; i++) {
        const char *name = text->algorithms[i];
        const struct sg_alg_info *info = sg_alg_info(sg_alg_from_name(name, strlen(name)));
        (void)snprintf(key, sizeof(key), "algorithms[%u]", i);
        if (info == NULL) {
            return trust_fail_at(check, key, "there is no such algorithm; expected such as ES256");
        }
        if (info->family == SG_FAMILY_HMAC) {
            return trust_fail_at(check, key,
                                 "an HMAC needs the issuer's secret here; expected an algorithm "
                                 "with a public key");
        }
        if (trust_has_alg(out, info->alg)) {
            return trust_fail_at(check, key, "given twice; expected once");
        }
        out->list[out->num++] = info->alg;
    }
    return out->num > 0
               ? SIGNET_OK
               : trust_fail_at(check, "algorithms", "expected one or more, such as [RS256, ES256]");
}

static signet_status trust_take_audiences(const struct trust_check *check,
                                          const struct trust_text *text,
                                          struct sg_trust_issuer *issuer)
{
    for (unsigned i = 0; i < text->audiences_count; i++) {
        size_t len = strlen(text->audiences[i]);
        if (len == 0 || len > SG_MAX_AUDIENCE_LEN) {
            char key[32];
            (void)snprintf(key, sizeof(key), "audiences[%u]", i);
            return trust_fail_at(check, key, "expected 1 to 255 bytes");
        }
        memcpy(issuer->audiences[issuer->num_audiences++], text->audiences[i], len + 1);
    }
    return SIGNET_OK;
}

static signet_status trust_take_jwks_path(const struct trust_check *check,
                                          const struct trust_text *text, const char *dir,
                                          char out[SG_TRUST_MAX_PATH])
{
    if (text->jwks == NULL || text->jwks[0] == '\0') {
        return trust_fail_at(check, "jwks", "expected the path of a JWK Set");
    }
    int len = text->jwks[0] == '/' ? snprintf(out, SG_TRUST_MAX_PATH, "%s", text->jwks)
                                   : snprintf(out, SG_TRUST_MAX_PATH, "%s/%s", dir, text->jwks);
    if (len < 0 || (size_t)len >= SG_TRUST_MAX_PATH) {
        out[0] = '\0';
        return trust_fail_at(check, "jwks", "the path is too long");
    }
    return SIGNET_OK;
}

static signet_status trust_take_text(const struct trust_check *check, const struct trust_text *text,
                                     const char *dir, struct sg_trust_files *files,
                                     struct sg_trust_issuer *issuer, struct trust_algs *algs)
{
    /* First, so that the file is watched whatever else is wrong. */
    signet_status status = trust_take_jwks_path(check, text, dir, files->jwks_path);
    if (status != SIGNET_OK) {
        return status;
    }
    size_t len = text->issuer != NULL ? strlen(text->issuer) : 0;
    if (len == 0 || len > SG_MAX_ISSUER_LEN) {
        return trust_fail_at(check, "issuer", "expected the iss of its tokens, 1 to 255 bytes");
    }
    memcpy(issuer->issuer, text->issuer, len + 1);
    status = trust_take_algorithms(check, text, algs);
    return status == SIGNET_OK ? trust_take_audiences(check, text, issuer) : status;
}

static signet_status trust_parse_yaml(const char *path, const char *bytes, size_t len,
                                      const char *dir, struct sg_trust_files *files,
                                      struct sg_trust_issuer *issuer, struct trust_algs *algs)
{
    struct sg_config_lines *lines = NULL;
    struct sg_config_fault fault = {0, {0}};
    void *text = NULL;
    signet_status status = sg_config_lines_read((const uint8_t *)bytes, len, &lines, &fault);
    if (status == SIGNET_OK) {
        status = sg_yaml_text_read((const uint8_t *)bytes, len, lines, &trust_text_schema, &text,
                                   &fault);
    }
    if (status == SIGNET_OK) {
        const struct trust_check check = {.path = path, .lines = lines, .line = files->line};
        status = trust_take_text(&check, text, dir, files, issuer, algs);
    } else if (status == SIGNET_INVALID_ARGUMENT) {
        (void)trust_fail(files->line, "%.600s:%zu: %s", path, fault.line, fault.message);
    }
    sg_yaml_text_free(&trust_text_schema, text);
    sg_config_lines_free(lines);
    return status;
}

/* ---- The JWK Set ---- */

static signet_status trust_fail_keys(const struct trust_check *check)
{
    return trust_fail(check->line,
                      "%.600s: more than %u keys; an RSA key without alg is one for each RSA "
                      "algorithm allowed",
                      check->path, SG_TRUST_MAX_KEYS);
}

/* Whether a member before index has the same kid, usable or not. */
static bool trust_kid_is_taken(const json_t *members, size_t index)
{
    const json_t *kid = json_object_get(json_array_get(members, index), "kid");
    for (size_t i = 0; kid != NULL && i < index; i++) {
        if (json_equal(json_object_get(json_array_get(members, i), "kid"), kid)) {
            return true;
        }
    }
    return false;
}

/* One candidate: the member bound to one of the algorithms, which it then has alone (RFC 8725 section
 * 3.1). An RSA key that names none of its own becomes several, among which the header of a token picks
 * and brings none in. INVALID_ARGUMENT if the algorithm is not for this key. */
static signet_status trust_bind(const char *json, enum sg_alg alg, struct sg_trust_key *out,
                                struct sg_key_error *why)
{
    struct sg_jwk *jwk = NULL;
    struct sg_public_key *public_key = NULL;
    signet_status status = sg_jwk_parse(json, strlen(json), alg, SG_JWK_PUBLIC, &jwk, why);
    if (status == SIGNET_OK) {
        status = sg_jwk_public(jwk, &public_key, why);
    }
    if (status == SIGNET_OK) {
        const char *kid = sg_jwk_kid(jwk); /* no longer than there is room: it was checked */
        (void)snprintf(out->kid, sizeof(out->kid), "%s", kid != NULL ? kid : "");
        out->alg = alg;
        out->public_key = public_key;
    }
    sg_jwk_free(jwk);
    return status;
}

/* The reasons of algorithms for other kinds of keys would hide the one that counts. */
static bool trust_is_of_kind(const json_t *member, enum sg_alg alg)
{
    const struct sg_alg_info *info = sg_alg_info(alg);
    const char *kty = json_string_value(json_object_get(member, "kty"));
    const char *crv = json_string_value(json_object_get(member, "crv"));
    return kty != NULL && strcmp(kty, info->kty) == 0 &&
           (info->crv == NULL || (crv != NULL && strcmp(crv, info->crv) == 0));
}

/* A member that cannot be used is passed over, as RFC 7517 section 5 has it. */
static signet_status trust_add_member(const struct trust_check *check, const json_t *member,
                                      const struct trust_algs *algs, struct sg_trust_issuer *issuer,
                                      struct sg_key_error *why)
{
    char *json = json_is_object(member) ? json_dumps(member, JSON_COMPACT) : NULL;
    signet_status status =
        json != NULL || !json_is_object(member) ? SIGNET_OK : SIGNET_RESOURCE_EXHAUSTED;
    for (size_t i = 0; json != NULL && i < algs->num && status == SIGNET_OK; i++) {
        struct sg_trust_key key;
        if (!trust_is_of_kind(member, algs->list[i])) {
            continue;
        }
        status = trust_bind(json, algs->list[i], &key, why);
        if (status == SIGNET_OK && issuer->num_keys == SG_TRUST_MAX_KEYS) {
            sg_public_key_free(key.public_key);
            status = trust_fail_keys(check);
        } else if (status == SIGNET_OK) {
            issuer->keys[issuer->num_keys++] = key;
        } else if (status == SIGNET_INVALID_ARGUMENT) {
            status = SIGNET_OK;
        }
    }
    free(json);
    return status;
}

static signet_status trust_add_members(const struct trust_check *check, const json_t *members,
                                       const struct trust_algs *algs,
                                       struct sg_trust_issuer *issuer)
{
    struct sg_key_error why = {.message = "there is none of their kind"};
    signet_status status = SIGNET_OK;
    if (json_array_size(members) > SG_TRUST_MAX_KEYS) {
        return trust_fail_keys(check);
    }
    for (size_t i = 0; status == SIGNET_OK && i < json_array_size(members); i++) {
        if (trust_kid_is_taken(members, i)) {
            return trust_fail(check->line,
                              "%.600s: keys[%zu]: a key before it has the same kid; expected "
                              "different ones (RFC 7517 section 4.5)",
                              check->path, i);
        }
        status = trust_add_member(check, json_array_get(members, i), algs, issuer, &why);
    }
    if (status == SIGNET_OK && issuer->num_keys == 0) {
        return trust_fail(check->line, "%.600s: no key can be used with the algorithms allowed: %s",
                          check->path, why.message);
    }
    return status;
}

static signet_status trust_parse_jwks(const char *path, const char *bytes, size_t len,
                                      const struct trust_algs *algs, struct sg_trust_issuer *issuer,
                                      char *line)
{
    const struct trust_check check = {.path = path, .line = line};
    const char *detail = "";
    json_t *set = NULL;
    signet_status status = sg_json_load(bytes, len, TRUST_MAX_JWKS, TRUST_MAX_DEPTH, &set, &detail);
    if (status != SIGNET_OK) {
        return status == SIGNET_INVALID_ARGUMENT ? trust_fail(line, "%.600s: %s", path, detail)
                                                 : status;
    }
    const json_t *members = json_object_get(set, "keys");
    status =
        json_is_array(members)
            ? trust_add_members(&check, members, algs, issuer)
            : trust_fail(line, "%.600s: expected a JWK Set, {\"keys\": [...]} (RFC 7517 section 5)",
                         path);
    json_decref(set);
    return status;
}

/* ---- Both ---- */

static bool trust_same_files(const struct sg_trust_issuer *known,
                             const struct sg_trust_issuer *issuer)
{
    return known != NULL && known->yaml_digest == issuer->yaml_digest &&
           known->jwks_digest == issuer->jwks_digest;
}

/* Checking keys takes long, so those of known are not checked again; issuer then has none. */
static signet_status trust_read_both(const char *dir, const char *yaml_path,
                                     const struct sg_trust_issuer *known,
                                     struct sg_trust_files *files, struct sg_trust_issuer *issuer)
{
    struct trust_algs algs = {.num = 0};
    char *bytes = NULL;
    size_t len = 0;
    files->yaml = sg_trust_stamp_of(yaml_path);
    signet_status status = trust_read(yaml_path, TRUST_MAX_YAML, &bytes, &len, files->line);
    if (status == SIGNET_OK) {
        issuer->yaml_digest = XXH3_64bits(bytes, len);
        status = trust_parse_yaml(yaml_path, bytes, len, dir, files, issuer, &algs);
    }
    free(bytes);
    bytes = NULL;
    files->jwks = sg_trust_stamp_of(files->jwks_path);
    if (status == SIGNET_OK) {
        status = trust_check_parent(files->jwks_path, files->line);
    }
    if (status == SIGNET_OK) {
        status = trust_read(files->jwks_path, TRUST_MAX_JWKS, &bytes, &len, files->line);
    }
    if (status == SIGNET_OK) {
        issuer->jwks_digest = XXH3_64bits(bytes, len);
    }
    if (status == SIGNET_OK && !trust_same_files(known, issuer)) {
        status = trust_parse_jwks(files->jwks_path, bytes, len, &algs, issuer, files->line);
    }
    free(bytes);
    return status;
}

/* There was room for many, and most have a few. */
static void trust_fit_keys(struct sg_trust_issuer *issuer)
{
    struct sg_trust_key *keys = realloc(issuer->keys, issuer->num_keys * sizeof(*keys));
    issuer->keys = keys != NULL ? keys : issuer->keys;
}

signet_status sg_trust_file_read(const char *dir, const char *name,
                                 const struct sg_trust_issuer *known, struct sg_trust_files *files,
                                 struct sg_trust_issuer **out)
{
    char path[SG_TRUST_MAX_PATH];
    memset(files, 0, sizeof(*files));
    int len = snprintf(path, sizeof(path), "%s/%s.yaml", dir, name);
    if (len < 0 || (size_t)len >= sizeof(path)) {
        return trust_fail(files->line, "%.600s: the path is too long", dir);
    }
    struct sg_trust_issuer *issuer = sg_trust_issuer_new(name);
    if (issuer == NULL) {
        return SIGNET_RESOURCE_EXHAUSTED;
    }
    signet_status status = trust_read_both(dir, path, known, files, issuer);
    if (status != SIGNET_OK || issuer->num_keys == 0) {
        sg_trust_issuer_unref(issuer);
        issuer = NULL;
    } else {
        trust_fit_keys(issuer);
    }
    if (status == SIGNET_OK) {
        *out = issuer;
    }
    return status;
}
