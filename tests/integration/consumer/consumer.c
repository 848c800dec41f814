/* SPDX-License-Identifier: Apache-2.0
 *
 * A program of someone else's: C99 or C++17 without extensions, every warning an error. It asks a
 * daemon that is not there, and must be told so.
 */
#include <signet/client.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    struct signet_client_options options = SIGNET_CLIENT_OPTIONS_INIT;
    struct signet_verify_options verify = SIGNET_VERIFY_OPTIONS_INIT;
    struct signet_sign_options sign = SIGNET_SIGN_OPTIONS_INIT;
    struct signet_client *client = NULL;
    struct signet_verified *verified = NULL;
    struct signet_signed *token = NULL;
    struct signet_error error;
    options.address = "/nonexistent/signet.sock";
    options.timeout_ms = 50;
    verify.any_audience = true;
    sign.keyset = "demo";
    if (signet_client_new(&options, &client, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    signet_status health = signet_health(client, 0, &error);
#if SIGNET_VERSION_NUMBER < 1000
    return 1;
#endif
    char version[40];
    (void)snprintf(version, sizeof(version), "%d.%d.%d", SIGNET_VERSION_MAJOR, SIGNET_VERSION_MINOR,
                   SIGNET_VERSION_PATCH);
    signet_status verdict = signet_verify(client, "a.b.c", 5, &verify, &verified, &error);
    signet_status minted = signet_sign(client, &sign, &token, NULL);
    (void)printf("libsignet %s: %s, %s\n", signet_version(), signet_status_name(health),
                 error.message);
    signet_client_free(client);
    return health == SIGNET_UNAVAILABLE && verdict == SIGNET_UNAVAILABLE &&
                   minted == SIGNET_INVALID_ARGUMENT && strcmp(signet_version(), version) == 0
               ? 0
               : 1;
}
