/* SPDX-License-Identifier: Apache-2.0
 *
 * What the help of every command says, and the help of the commands that signet-seal carries out, which
 * both programs print.
 */
#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"

const char cli_help_options[] =
    "Options, before or after the command:\n"
    "  --address ADDRESS  the daemon's socket, as ipc:///path or /path (default\n"
    "                     $SIGNET_ADDRESS, else " SIGNET_DEFAULT_ADDRESS ";\n"
    "                     for operators' commands see 'signet help key')\n"
    "  --timeout TIME     how long to wait for an answer, such as 500ms or 2s (default 2s)\n"
    "  --json             print JSON, for scripts\n"
    "  --help             what a command does and takes\n"
    "  --version\n";

const char cli_help_exits[] =
    "Exit status:\n"
    "  0  good\n"
    "  1  the token is refused, or cannot be decoded\n"
    "  2  usage, or a request that has to be mended\n"
    "  3  the daemon cannot be reached (it does not run, does not answer in\n"
    "     time, or its socket is not for this user), or is not to be trusted\n"
    "  4  anything else\n";

void cli_print_command_help(const struct cli_command *command)
{
    (void)printf("Usage: signet %s%s%s\n\n%s\n", command->name,
                 command->synopsis[0] != '\0' ? " " : "", command->synopsis, command->help);
    for (const struct cli_command *const *each = command->subcommands;
         each != NULL && *each != NULL; each++) {
        (void)printf("  %-17s %s\n", (*each)->name, (*each)->summary);
    }
    (void)printf("%s%s\n%s", command->subcommands != NULL ? "\n" : "", cli_help_options,
                 cli_help_exits);
}

/* ---- signet-seal's ---- */

const char cli_import_name[] = "key import";
const char cli_import_synopsis[] = "KEYSET (--pem | --jwk | --jwks | --secret) FILE ...";
const char cli_import_summary[] = "bring in a key from a file";
const char cli_import_help[] =
    "Brings a key in from outside. It is sealed to the keyholder before it leaves this process, and\n"
    "can never be had back: keep the file where keys are kept, or destroy it.\n"
    "\n"
    "  --pem FILE         one private key: PKCS#8 or traditional, encrypted or not\n"
    "  --jwk FILE         one JWK: oct, RSA, EC or OKP\n"
    "  --jwks FILE        a JWK Set: every secret and private key in it, which takes --verify-only\n"
    "                     if there are several\n"
    "  --secret FILE      a secret for HS256, HS384 or HS512: exactly the bytes of the file\n"
    "  FILE               one of the first three, by what is in it\n"
    "                     (FILE - is standard input)\n"
    "  --alg ALG          the key's algorithm (default: the JWK's, else the keyset's); another than\n"
    "                     the keyset's needs --verify-only\n"
    "  --kid KID          its kid (default: the JWK's, else the RFC 7638 thumbprint, or random for a\n"
    "                     secret)\n"
    "  --verify-only      accept its tokens, never sign with it: for moving from elsewhere\n"
    "  --until TIME       with --verify-only, accept them until then: 2027-01-31T12:00:00Z, seconds\n"
    "                     since 1970, or +30d (default: until the key is revoked)\n"
    "  --now              sign with it at once, without publishing it first: verifiers elsewhere do\n"
    "                     not know it yet\n"
    "  --passphrase-fd N  read the passphrase of the file from descriptor N (default: ask for it on\n"
    "                     the terminal)\n"
    "\n"
    "With --json: {\"key\": {...}} as in 'signet key list'; with --jwks {\"keys\": [...],\n"
    "\"skipped\": [{\"index\", \"reason\"}]}.\n";

const char cli_rekey_name[] = "keystore rekey";
const char cli_rekey_synopsis[] = "(--to SOURCE | --finish)";
const char cli_rekey_summary[] = "change the key-encryption key";
const char cli_rekey_help[] =
    "Changes the key-encryption key of the keystore. First the old and the new both open it, and at\n"
    "the end only the new: whatever happens in between, what the configuration names opens it. An\n"
    "interrupted change is taken up again by the same command.\n"
    "\n"
    "  --to file:PATH        a new key of 32 random bytes in PATH, which the daemon's user and root\n"
    "                        alone can read. The present PATH: the file is replaced, and nothing is\n"
    "                        left to do. Another: a file of 32 bytes that is there is used as it is\n"
    "  --to credential:NAME  the 32 bytes of --key-file, which systemd will provide\n"
    "  --to passphrase:      a passphrase, of at least 8 bytes\n"
    "  --key-file FILE       with credential:NAME: where the bytes are now; - is standard input\n"
    "  --passphrase-fd N     read the new passphrase from descriptor N (default: ask for it twice on\n"
    "                        the terminal)\n"
    "  --finish              end the change: only the new one opens the keystore from now on\n"
    "\n"
    "Where the source is another than before, set keystore.key in signet.yaml to it, restart\n"
    "signetd, and then run 'signet keystore rekey --finish'.\n"
    "With --json: {\"source\", \"num_keys\", \"finished\"}.\n";
