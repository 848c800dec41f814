/* SPDX-License-Identifier: Apache-2.0
 *
 * libjwt as a program, for interop.py: signs and verifies with a key from a file. Nothing of Signet
 * is in it. It trusts its arguments; it is never installed.
 */
#include <jwt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_GOOD = 0,
    EXIT_REFUSED = 1,
    EXIT_UNUSABLE = 2, /* wrong arguments, or libjwt could not do it at all */
    TOOL_MAX_INPUT = 64 * 1024
};

struct tool_key {
    jwt_alg_t alg;
    unsigned char bytes[TOOL_MAX_INPUT];
    int len;
};

/* Reads all of file and terminates it; -1 if it is empty or does not fit. */
static int tool_read_all(FILE *file, unsigned char *out, size_t out_cap)
{
    size_t len = fread(out, 1, out_cap - 1, file);
    if (len == 0 || ferror(file) || !feof(file)) {
        return -1;
    }
    out[len] = '\0';
    return (int)len;
}

static bool tool_read_key(const char *alg_name, const char *path, struct tool_key *out)
{
    out->alg = jwt_str_alg(alg_name);
    if (out->alg == JWT_ALG_NONE || out->alg == JWT_ALG_INVAL) {
        (void)fprintf(stderr, "libjwt_tool: libjwt does not know %s\n", alg_name);
        return false;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        perror(path);
        return false;
    }
    out->len = tool_read_all(file, out->bytes, sizeof out->bytes);
    (void)fclose(file);
    return out->len > 0;
}

/* Every algorithm of the library, one a line. */
static int tool_algs(void)
{
    for (int alg = JWT_ALG_NONE + 1; alg < JWT_ALG_TERM; alg++) {
        puts(jwt_alg_str((jwt_alg_t)alg));
    }
    return EXIT_GOOD;
}

/* Claims on standard input, the token on standard output. */
static int tool_sign(const struct tool_key *key, const char *kid)
{
    unsigned char claims[TOOL_MAX_INPUT];
    if (tool_read_all(stdin, claims, sizeof claims) < 0) {
        return EXIT_UNUSABLE;
    }
    jwt_t *jwt = NULL;
    char *token = NULL;
    if (jwt_new(&jwt) == 0 && jwt_add_grants_json(jwt, (const char *)claims) == 0 &&
        (kid == NULL || jwt_add_header(jwt, "kid", kid) == 0) &&
        jwt_set_alg(jwt, key->alg, key->bytes, key->len) == 0) {
        token = jwt_encode_str(jwt);
    }
    if (token != NULL) {
        puts(token);
    }
    int status = token != NULL ? EXIT_GOOD : EXIT_UNUSABLE;
    free(token);
    jwt_free(jwt);
    return status;
}

/* The token on standard input, its claims on standard output. */
static int tool_verify(const struct tool_key *key)
{
    unsigned char token[TOOL_MAX_INPUT];
    if (tool_read_all(stdin, token, sizeof token) < 0) {
        return EXIT_UNUSABLE;
    }
    token[strcspn((char *)token, "\n")] = '\0';
    jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, (const char *)token, key->bytes, key->len) != 0) {
        return EXIT_REFUSED;
    }
    char *claims = NULL;
    if (jwt_get_alg(jwt) == key->alg) {
        claims = jwt_get_grants_json(jwt, NULL);
    }
    if (claims != NULL) {
        puts(claims);
    }
    int status = claims != NULL ? EXIT_GOOD : EXIT_REFUSED;
    free(claims);
    jwt_free(jwt);
    return status;
}

int main(int argc, char **argv)
{
    struct tool_key key;

    if (argc == 2 && strcmp(argv[1], "algs") == 0) {
        return tool_algs();
    }
    if (argc >= 4 && argc <= 5 && tool_read_key(argv[2], argv[3], &key)) {
        if (strcmp(argv[1], "sign") == 0) {
            return tool_sign(&key, argc == 5 ? argv[4] : NULL);
        }
        if (strcmp(argv[1], "verify") == 0 && argc == 4) {
            return tool_verify(&key);
        }
    }
    (void)fputs("usage: libjwt_tool algs\n"
                "       libjwt_tool sign ALG KEYFILE [KID] < claims\n"
                "       libjwt_tool verify ALG KEYFILE < token\n",
                stderr);
    return EXIT_UNUSABLE;
}
