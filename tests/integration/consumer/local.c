/* SPDX-License-Identifier: Apache-2.0
 *
 * The same of libsignet-local: there is no board and no daemon, which it must be told.
 */
#include <signet/local.h>
#include <stdio.h>
#include <string.h>

static void notice(void *context, const char *message)
{
    (void)printf("%s\n", message);
    *(int *)context += 1;
}

int main(void)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_local_options local = SIGNET_LOCAL_OPTIONS_INIT;
    struct signet_verify_options verify = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_client *client = NULL;
    struct signet_verified *verified = NULL;
    struct signet_error error;
    int num_notices = 0;
    options.address = "/nonexistent/signet.sock";
    options.timeout_ms = 50;
    verify.any_audience = true;
    local.notice = notice;
    local.context = &num_notices;
    if (signet_client_new(&options, &client, &error) != SIGNET_OK ||
        signet_local_attach(client, &local, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    signet_status verdict = signet_verify(client, "a.b.c", 5, &verify, &verified, &error);
    signet_status again = signet_local_attach(client, NULL, &error);
    signet_client_free(client);
    return verdict == SIGNET_UNAVAILABLE && again == SIGNET_FAILED_PRECONDITION && num_notices == 1
               ? 0
               : 1;
}
