/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the board is, and whose it may be.
 */
#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <signet/local.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/local.h"
#include "client/private.h"
#include "common/board.h"

#define ATTACH_DEFAULT_AGE_MS 2000u
#define ATTACH_MIN_AGE_MS     100u
#define ATTACH_MAX_AGE_MS     60000u

static const struct sg_options_layout attach_options_layout = {
    .initializer = "SIGNET_LOCAL_OPTIONS_INIT",
    .first_len = SG_OPTIONS_END(struct signet_local_options, max_age_ms),
    .known_len = SG_OPTIONS_END(struct signet_local_options, max_age_ms),
};
_Static_assert(sizeof(struct signet_local_options) ==
                   SG_OPTIONS_END(struct signet_local_options, reserved),
               "options end with padding");

static uint64_t attach_read_boot_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The path that is named, or NULL. */
static const char *attach_named_board(const struct signet_local_options *options)
{
    if (options->board != NULL) {
        return options->board;
    }
    /* As with the client's, only where the caller of the program may not be someone else. */
    const char *named = secure_getenv("SIGNET_BOARD");
    return named != NULL && named[0] != '\0' ? named : NULL;
}

static signet_status attach_path(const struct signet_client *client,
                                 const struct signet_local_options *options, char path[PATH_MAX],
                                 struct signet_error *error)
{
    const char *named = attach_named_board(options);
    const char *socket = client->target.socket.sun_path;
    const char *slash = strrchr(socket, '/');
    int len = named != NULL ? snprintf(path, PATH_MAX, "%s", named)
              : slash != NULL
                  ? snprintf(path, PATH_MAX, "%.*s/" SG_BOARD_FILE, (int)(slash - socket), socket)
                  : 0;
    /* One that depends on where the process is would be another file later. */
    if (len <= 0 || len >= PATH_MAX || path[0] != '/') {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "BOARD_PATH",
                              "the trust board is \"%.100s\"; a path from the root is expected",
                              named != NULL ? named : socket);
    }
    return SIGNET_OK;
}

static signet_status attach_take_options(const struct signet_local_options *given,
                                         struct signet_local_options *options,
                                         struct signet_error *error)
{
    if (given != NULL) {
        memset(options, 0, sizeof(*options));
        signet_status status =
            sg_client_take_options(&attach_options_layout, given, options, error);
        if (status != SIGNET_OK) {
            return status;
        }
    }
    if (options->max_age_ms == 0) {
        options->max_age_ms = ATTACH_DEFAULT_AGE_MS;
    }
    if (options->max_age_ms < ATTACH_MIN_AGE_MS || options->max_age_ms > ATTACH_MAX_AGE_MS) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "MAX_AGE_RANGE",
                              "max_age_ms is %" PRIu32 "; %u to %u is allowed", options->max_age_ms,
                              ATTACH_MIN_AGE_MS, ATTACH_MAX_AGE_MS);
    }
    return SIGNET_OK;
}

static signet_status attach_new(struct signet_client *client, const struct sg_local_config *config,
                                struct signet_error *error)
{
    struct sg_local *local = NULL;
    if (sg_local_new(config, &local) != SIGNET_OK) {
        return sg_client_no_memory(error);
    }
    signet_status status = sg_client_attach(client, &sg_local_ops, local, error);
    if (status != SIGNET_OK) {
        sg_local_free(local);
    }
    return status;
}

signet_status signet_local_attach(struct signet_client *client,
                                  const struct signet_local_options *options,
                                  struct signet_error *error)
{
    struct signet_local_options taken = SIGNET_LOCAL_OPTIONS_INIT;
    char path[PATH_MAX];
    if (client == NULL) {
        return sg_client_fail(error, SIGNET_INVALID_ARGUMENT, "ARGUMENT_NULL",
                              "the client must be given");
    }
    /* Before anything of the client is looked at, whose insides are those of one version. */
    if (strcmp(SIGNET_VERSION, signet_version()) != 0) {
        return sg_client_fail(error, SIGNET_FAILED_PRECONDITION, "VERSIONS_DIFFER",
                              "libsignet is %s and libsignet-local %s; install the same of both",
                              signet_version(), SIGNET_VERSION);
    }
    signet_status status = attach_take_options(options, &taken, error);
    if (status == SIGNET_OK) {
        status = attach_path(client, &taken, path, error);
    }
    if (status != SIGNET_OK) {
        return status;
    }
    json_object_seed(0); /* now, and not by the first of several threads while another one forks */
    int64_t server_uid = client->target.server_uid;
    const struct sg_local_config config = {
        .path = path,
        .owner = server_uid >= 0 ? (uid_t)server_uid : geteuid(),
        .max_age_ms = taken.max_age_ms,
        .read_boot_ms = attach_read_boot_ms,
        .notice = taken.notice,
        .context = taken.context,
    };
    return attach_new(client, &config, error);
}
