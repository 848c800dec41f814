/* SPDX-License-Identifier: Apache-2.0
 *
 * Works from a keyring, which holds nothing secret.
 */
#include "server/jwks.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/jose/jwk.h"

#define JWKS_MAX_PATH 256u

/* ---- Text ---- */

/* A symmetric key has no public part. A key that was imported to verify only is not ours to publish as
 * one that signs: it stands there all the same, for as long as its tokens are accepted. */
static bool jwks_add_keyset(const struct sg_keyset *keyset, int64_t now, json_t *list)
{
    for (size_t i = 0; i < keyset->num_keys; i++) {
        const struct sg_key *key = &keyset->keys[i];
        if (key->public_key == NULL || !sg_key_may_verify(key, now)) {
            continue;
        }
        /* Takes over the new object, and fails if that is NULL. */
        if (json_array_append_new(list, sg_jwk_write(key->public_key, key->kid)) != 0) {
            return false;
        }
    }
    return true;
}

char *sg_jwks_text(const struct sg_keyring *keyring, const struct sg_keyset *only, int64_t now)
{
    json_t *list = json_array();
    bool complete = list != NULL;
    for (size_t i = 0; complete && i < sg_keyring_num_keysets(keyring); i++) {
        const struct sg_keyset *keyset = sg_keyring_keyset_at(keyring, i);
        if (!keyset->is_internal && (only == NULL || only == keyset)) {
            complete = jwks_add_keyset(keyset, now, list);
        }
    }
    json_t *set = json_object();
    char *text = NULL;
    if (json_object_set_new(set, "keys", list) == 0 && complete) { /* takes over list */
        text = json_dumps(set, JSON_COMPACT);
    }
    json_decref(set);
    return text;
}

/* ---- File ---- */

static signet_status jwks_fail(const char *path, const char *what, int number, char *error,
                               size_t error_cap)
{
    (void)snprintf(error, error_cap, "%s: %s: %s", path, what, strerrordesc_np(number));
    return number == ENOSPC || number == EDQUOT || number == ENOMEM ? SIGNET_RESOURCE_EXHAUSTED
                                                                    : SIGNET_INTERNAL;
}

static int jwks_write_all(int fd, const char *text, size_t len)
{
    while (len > 0) {
        ssize_t done = write(fd, text, len);
        if (done < 0 && errno != EINTR) {
            return errno;
        }
        if (done > 0) {
            text += done;
            len -= (size_t)done;
        }
    }
    /* The mode is for every reader, whatever the umask. */
    return fchmod(fd, 0644) == 0 && fsync(fd) == 0 ? 0 : errno;
}

signet_status sg_jwks_write(const char *path, const char *text, char *error, size_t error_cap)
{
    char temporary[JWKS_MAX_PATH];
    int len = snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (len < 0 || (size_t)len >= sizeof(temporary)) {
        return jwks_fail(path, "cannot be written", ENAMETOOLONG, error, error_cap);
    }
    /* What an earlier daemon left half-made; nobody else writes in this directory. */
    (void)unlink(temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) {
        return jwks_fail(temporary, "cannot be made", errno, error, error_cap);
    }
    int number = jwks_write_all(fd, text, strlen(text));
    if (close(fd) != 0 && number == 0) {
        number = errno;
    }
    if (number == 0 && rename(temporary, path) != 0) {
        number = errno;
    }
    if (number != 0) {
        (void)unlink(temporary);
        return jwks_fail(path, "cannot be replaced", number, error, error_cap);
    }
    return SIGNET_OK;
}
