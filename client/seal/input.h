/* SPDX-License-Identifier: Apache-2.0
 *
 * Where keys and passphrases are read from. Everything goes by read() into memory of seal_alloc; no
 * stream ever buffers it.
 */
#ifndef SG_SEAL_INPUT_H
#define SG_SEAL_INPUT_H

#include "client/cli/cli.h"
#include "client/seal/wipe.h"

#define SEAL_MAX_FILE       ((size_t)1024 * 1024)
#define SEAL_MAX_PASSPHRASE ((size_t)1024)

/* seal_read_file reads all of a file, "-" being standard input, of at most SEAL_MAX_FILE bytes. An empty
 * one is refused. False after a complaint. */
bool seal_read_file(struct cli *cli, const char *path, struct seal_bytes *out);

/* seal_read_passphrase reads a passphrase: from fd if that is not negative, up to a line end or the end; else
 * from the terminal, without echo, behind the prompt. An empty one is refused. False after a
 * complaint. */
bool seal_read_passphrase(struct cli *cli, int fd, const char *prompt, struct seal_bytes *out);

#endif
