/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a token comes from: an argument, or standard input, of which no more is read than a token
 * may have.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cli/output.h"
#include "common/limits.h"

/* One more than is allowed, so that it is seen to be too long, and room for "\r\n". */
#define TOKEN_INPUT_MAX (SG_MAX_TOKEN_LEN + 3u)

static bool token_input_read(struct cli *cli, char *buffer, size_t *len)
{
    *len = 0;
    while (*len < TOKEN_INPUT_MAX) {
        ssize_t got = read(STDIN_FILENO, buffer + *len, TOKEN_INPUT_MAX - *len);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            (void)cli_fail(cli, CLI_USAGE, "cannot read the token from standard input: %s",
                           strerrordesc_np(errno));
            return false;
        }
        if (got == 0) {
            break;
        }
        *len += (size_t)got;
    }
    return true;
}

bool cli_token_read(struct cli *cli, const char *argument, struct cli_token *out)
{
    if (strcmp(argument, "-") != 0) {
        *out = (struct cli_token){.text = argument, .len = strlen(argument)};
        return true;
    }

    char *buffer = cli_must(malloc(TOKEN_INPUT_MAX));
    size_t len = 0;
    if (!token_input_read(cli, buffer, &len)) {
        free(buffer);
        return false;
    }
    if (len > 0 && buffer[len - 1] == '\n') {
        len--;
        if (len > 0 && buffer[len - 1] == '\r') {
            len--;
        }
    }
    if (len == 0) {
        free(buffer);
        (void)cli_usage(cli, "there is no token on standard input");
        return false;
    }
    *out = (struct cli_token){.text = buffer, .len = len, .read = buffer};
    return true;
}

void cli_token_free(struct cli_token *token)
{
    free(token->read);
    *token = (struct cli_token){0};
}
