/* SPDX-License-Identifier: Apache-2.0
 *
 * An orders service: takes the Authorization header of a request, has its token verified, and acts
 * for the user that the token names.
 *
 *     orders "Bearer eyJ..."          the header's value, as a web server hands it over
 *     login alice | orders            or the token itself on standard input
 *
 * The three outcomes are what a web service answers with 200, 401 and 503.
 */
#include <inttypes.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* As large as the largest token that is ever taken, and the scheme before it. */
#define MAX_HEADER (16384 + 16)

/* Fills header from standard input. False without a line that fits. */
static bool read_header(char *header, size_t cap)
{
    static const char scheme[] = "Bearer ";
    memcpy(header, scheme, sizeof(scheme));
    char *token = header + strlen(scheme);
    if (fgets(token, (int)(cap - strlen(scheme)), stdin) == NULL) {
        return false;
    }
    token[strcspn(token, "\r\n")] = '\0';
    return true;
}

static void print_orders(const struct signet_verified *token)
{
    /* Whoever gets here is who the token says: signature, issuer, audience and times are good. */
    (void)printf("orders of %s\n", signet_verified_subject(token));
    (void)printf("  issued by  %s, for %s\n", signet_verified_issuer(token),
                 signet_verified_audience(token, 0));
    (void)printf("  good until %" PRId64 " (seconds since 1970)\n",
                 signet_verified_expires_at(token));
    (void)printf("  claims     %s\n", signet_verified_claims_json(token));
}

static int serve(struct signet_client *client, const char *header)
{
    /* Who we are: a token that was minted for another service is none for us. */
    static const char *const audiences[] = {"orders"};
    struct signet_verified *token = NULL;
    struct signet_error error;

    struct signet_verify_options options = SIGNET_VERIFY_OPTIONS_INIT;
    options.audiences = audiences;
    options.num_audiences = 1;

    signet_status status = signet_verify_bearer(client, header, &options, &token, &error);
    if (status == SIGNET_OK) {
        print_orders(token);
        signet_verified_free(token);
        return 0;
    }
    if (status == SIGNET_REJECTED) {
        (void)fprintf(stderr, "orders: 401, refused: %s: %s\n", signet_reason_name(error.reason),
                      error.message);
        return 1;
    }
    /* No verdict. Whatever the cause, it is not a good token. */
    (void)fprintf(stderr, "orders: 503, cannot verify: %s\n", error.message);
    return 3;
}

int main(int argc, char **argv)
{
    char line[MAX_HEADER];
    if (argc > 2 || (argc < 2 && !read_header(line, sizeof(line)))) {
        (void)fputs("Usage: orders [\"Bearer TOKEN\"], else with the token on standard input\n",
                    stderr);
        return 2;
    }

    /* A service makes one client when it starts, and all its threads use it. */
    struct signet_client *client = NULL;
    struct signet_error error;
    if (signet_client_new(NULL, &client, &error) != SIGNET_OK) {
        (void)fprintf(stderr, "orders: %s\n", error.message);
        return 3;
    }
    int exit_status = serve(client, argc == 2 ? argv[1] : line);
    signet_client_free(client);
    return exit_status;
}
