/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the operators' socket is, and calls on it.
 */
#include "client/cli/admin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/call.h"
#include "client/cli/output.h"

/* NULL if it is not set, or empty. */
static const char *admin_env(const char *name)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody here changes the environment. */
    const char *value = getenv(name);
    return value != NULL && value[0] != '\0' ? value : NULL;
}

/* admin.sock in the place of signet.sock; free() it. NULL if the address does not end so: which
 * daemon's keys are meant is not to be guessed. */
static char *admin_beside(const char *services)
{
    static const char name[] = "/signet.sock";
    size_t len = strlen(services);
    size_t name_len = sizeof(name) - 1;
    if (len < name_len || strcmp(services + len - name_len, name) != 0) {
        return NULL;
    }
    char *address = NULL;
    int written = asprintf(&address, "%.*s/admin.sock", (int)(len - name_len), services);
    return cli_must(written < 0 ? NULL : address);
}

/* Root made the daemon's directory and gave it to the daemon's user: whoever has it is the one to expect on
 * the socket in it. Others have to be that user themselves. 0: as the library does. */
static int64_t admin_server_uid(const char *address)
{
    char dir[512];
    struct stat info;
    const char *path = strchr(address, '/');
    const char *slash = strrchr(address, '/');
    if (geteuid() != 0 || admin_env("SIGNET_SERVER_UID") != NULL || path == NULL) {
        return 0;
    }
    path += strncmp(path, "//", 2) == 0 ? 2 : 0; /* behind the scheme */
    int len = slash > path ? snprintf(dir, sizeof(dir), "%.*s", (int)(slash - path), path) : -1;
    if (len <= 0 || (size_t)len >= sizeof(dir) || stat(dir, &info) != 0 ||
        (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
        return 0;
    }
    return (int64_t)info.st_uid;
}

bool cli_admin_connect(struct cli *cli, struct signet_client **out)
{
    const char *given = cli->address != NULL ? cli->address : admin_env("SIGNET_ADMIN_ADDRESS");
    const char *services = admin_env("SIGNET_ADDRESS");
    char *beside = given == NULL && services != NULL ? admin_beside(services) : NULL;
    if (given == NULL && services != NULL && beside == NULL) {
        (void)cli_usage(cli,
                        "SIGNET_ADDRESS does not end in /signet.sock, so that the operators' "
                        "socket is not known; name it in SIGNET_ADMIN_ADDRESS, or with --address");
        return false;
    }
    struct cli admin = *cli;
    admin.address = given != NULL ? given : beside != NULL ? beside : CLI_DEFAULT_ADMIN_ADDRESS;
    admin.server_uid = admin_server_uid(admin.address);
    bool is_good = cli_connect(&admin, out);
    cli->exit = admin.exit;
    free(beside);
    return is_good;
}

enum cli_exit cli_admin_fail(struct cli *cli, const struct signet_error *error)
{
    if (error->status == SIGNET_PERMISSION_DENIED && strcmp(error->code, "CONNECT_DENIED") == 0) {
        return cli_fail(cli, cli_exit_of(error),
                        "%s: %s (%s); this is the operators' socket, admin.sock, which is for root "
                        "and the daemon's own user: try sudo",
                        signet_status_name(error->status), error->message, error->code);
    }
    return cli_fail_call(cli, error);
}

bool cli_admin_is_there(struct cli *cli, struct signet_client *client)
{
    struct signet_error error;
    if (signet_health(client, 0, &error) != SIGNET_OK) {
        (void)cli_admin_fail(cli, &error);
        return false;
    }
    return true;
}

signet_status cli_admin_try(const struct cli *cli, struct signet_client *client, const char *method,
                            const ProtobufCMessage *request,
                            const ProtobufCMessageDescriptor *response_type, uint32_t timeout_ms,
                            ProtobufCMessage **out, struct signet_error *error)
{
    return sg_client_call(client, method, request, response_type,
                          cli->timeout_ms != 0 ? cli->timeout_ms : timeout_ms, out, error);
}

ProtobufCMessage *cli_admin_call(struct cli *cli, struct signet_client *client, const char *method,
                                 const ProtobufCMessage *request,
                                 const ProtobufCMessageDescriptor *response_type,
                                 uint32_t timeout_ms)
{
    ProtobufCMessage *answer = NULL;
    struct signet_error error;
    if (cli_admin_try(cli, client, method, request, response_type, timeout_ms, &answer, &error) !=
        SIGNET_OK) {
        (void)cli_admin_fail(cli, &error);
        return NULL;
    }
    return answer;
}
