/* SPDX-License-Identifier: Apache-2.0
 *
 * The client object.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "client/private.h"
#include "common/limits.h"

#define CLIENT_MAX_UID INT64_C(0xfffffffe) /* (uid_t)-1 is no user */

static const struct sg_options_layout client_options_layout = {
    .initializer = "SIGNET_CLIENT_OPTIONS_INIT",
    .first_len = SG_OPTIONS_END(struct signet_client_options, server_uid),
    .known_len = SG_OPTIONS_END(struct signet_client_options, server_uid),
};
_Static_assert(sizeof(struct signet_client_options) ==
                   SG_OPTIONS_END(struct signet_client_options, server_uid),
               "options end with padding");

/* Environment variables count only where the caller of the program may not be someone else. */
static const char *client_env(const char *name)
{
    const char *value = secure_getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

static signet_status client_server_uid(int64_t option, int64_t *out, struct signet_error *error)
{
    if (option < -1 || option > CLIENT_MAX_UID) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "SERVER_UID_RANGE",
                              "server_uid is %" PRId64 "; a uid or -1 is expected", option);
    }
    const char *text = client_env("SIGNET_SERVER_UID");
    if (option >= 0 || text == NULL) {
        *out = option;
        return SIGNET_OK;
    }
    char *end = NULL;
    errno = 0;
    long long uid = strtoll(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || uid > CLIENT_MAX_UID) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "SERVER_UID_RANGE",
                              "SIGNET_SERVER_UID is \"%.40s\"; the number of a uid is expected",
                              text);
    }
    *out = uid;
    return SIGNET_OK;
}

static signet_status client_configure(struct signet_client *client,
                                      const struct signet_client_options *options,
                                      struct signet_error *error)
{
    if (options->timeout_ms > SG_MAX_TIMEOUT_MS) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "TIMEOUT_RANGE",
                              "timeout_ms is %" PRIu32 "; at most %u is allowed",
                              options->timeout_ms, SG_MAX_TIMEOUT_MS);
    }
    client->timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : SG_DEFAULT_TIMEOUT_MS;

    const char *address = options->address;
    if (address == NULL) {
        address = client_env("SIGNET_ADDRESS");
    }
    if (address == NULL) {
        address = SIGNET_DEFAULT_ADDRESS;
    }
    int64_t server_uid = -1;
    signet_status status = client_server_uid(options->server_uid, &server_uid, error);
    if (status != SIGNET_OK) {
        return status;
    }
    return sg_target_init(&client->target, address, server_uid, error);
}

signet_status signet_client_new(const struct signet_client_options *options,
                                struct signet_client **out, struct signet_error *error)
{
    struct signet_client_options taken = SIGNET_CLIENT_OPTIONS_INIT;
    if (out == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the place for the client must be given");
    }
    signet_status status = SIGNET_OK;
    if (options != NULL) {
        memset(&taken, 0, sizeof(taken));
        status = sg_client_take_options(&client_options_layout, options, &taken, error);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    struct signet_client *client = aligned_alloc(_Alignof(struct signet_client), sizeof(*client));
    if (client == NULL) {
        return sg_client_no_memory(error);
    }
    client->local_ops = NULL;
    client->local = NULL;
    status = client_configure(client, &taken, error);
    if (status == SIGNET_OK && !sg_pool_init(&client->pool)) {
        status = sg_client_no_memory(error);
    }
    if (status != SIGNET_OK) {
        free(client);
        return status;
    }
    *out = client;
    return SIGNET_OK;
}

void signet_client_free(struct signet_client *client)
{
    if (client == NULL) {
        return;
    }
    if (client->local_ops != NULL) {
        client->local_ops->free(client->local);
    }
    sg_pool_fini(&client->pool);
    free(client);
}

const char *signet_version(void)
{
    return SIGNET_VERSION;
}

void signet_string_free(char *text)
{
    free(text);
}
