/* SPDX-License-Identifier: Apache-2.0
 *
 * A login service: checks a password and mints a token that says who the user is.
 *
 *     echo 'correct horse' | login alice
 *
 * It holds no key. Whoever takes over this process can mint tokens while he is in it, but walks away
 * with nothing to mint them with elsewhere.
 */
#include <crypt.h>
#include <signet/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A real service keeps these in a database. The hashes are yescrypt, each with its own salt: the
 * passwords cannot be read from them. */
static const struct user {
    const char *name;
    const char *id; /* what goes into tokens: names change, ids do not */
    const char *hash;
} users[] = {
    {"alice", "user-1001",
     "$y$j9T$I/pFRXJYX1yxLYM/PUyfX0$v/IAdE1f7HGdZSZ5rl7YRnalxEyiLE4EQOvk7ZpZXP9"},
    {"bob", "user-1002",
     "$y$j9T$6QODypzRH5.EVlNCW/HqR0$RZ1q2CmqPR6pmLAz2Vr.Ig7vus5UA4XLMNSU1iDwnr1"},
};

/* Returns the user, or NULL: in the same time and with the same answer whether the name or the
 * password was wrong, so that nobody learns which names exist. */
static const struct user *check_password(const char *name, const char *password)
{
    const struct user *found = NULL;
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++) {
        if (strcmp(users[i].name, name) == 0) {
            found = &users[i];
        }
    }

    const char *expected = found != NULL ? found->hash : users[0].hash;
    struct crypt_data scratch = {0};
    const char *actual = crypt_r(password, expected, &scratch);
    bool matches = actual != NULL && strcmp(actual, expected) == 0;
    explicit_bzero(&scratch, sizeof(scratch));
    return matches ? found : NULL;
}

/* Prints a token for the orders service: one hour of life, and nothing in it but who the user is. */
static int print_token(const struct user *user)
{
    static const char *const audiences[] = {"orders"};
    struct signet_client *client = NULL;
    struct signet_signed *token = NULL;
    struct signet_error error;

    struct signet_sign_options options = SIGNET_SIGN_OPTIONS_INIT;
    options.keyset = "demo-es256";
    options.subject = user->id;
    options.audiences = audiences;
    options.num_audiences = 1;
    options.ttl_s = 3600;

    signet_status status = signet_client_new(NULL, &client, &error);
    if (status == SIGNET_OK) {
        status = signet_sign(client, &options, &token, &error);
    }
    if (status == SIGNET_OK) {
        (void)puts(signet_signed_token(token));
    } else {
        (void)fprintf(stderr, "login: no token: %s\n", error.message);
    }
    signet_signed_free(token);
    signet_client_free(client);
    return status == SIGNET_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    char password[256];
    if (argc != 2 || fgets(password, sizeof(password), stdin) == NULL) {
        (void)fputs("Usage: login USER, with the password on standard input\n", stderr);
        return 2;
    }
    password[strcspn(password, "\n")] = '\0';

    const struct user *user = check_password(argv[1], password);
    explicit_bzero(password, sizeof(password));
    if (user == NULL) {
        (void)fputs("login: wrong user or password\n", stderr);
        return EXIT_FAILURE;
    }
    return print_token(user);
}
