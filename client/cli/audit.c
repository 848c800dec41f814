/* SPDX-License-Identifier: Apache-2.0
 *
 * `signet audit`: who did what. signet-audit reads it.
 */
#include "client/cli/cli.h"

static const struct cli_command audit_verify = {
    .name = "audit verify",
    .summary = "check that no record was changed, removed or put elsewhere",
    .program = "signet-audit",
    .is_offline = true,
};

static const struct cli_command audit_find = {
    .name = "audit find",
    .summary = "who minted this token, and what became of it",
    .program = "signet-audit",
    .is_offline = true,
};

static const struct cli_command audit_show = {
    .name = "audit show",
    .summary = "the last records",
    .program = "signet-audit",
    .is_offline = true,
};

static const struct cli_command *const audit_commands[] = {&audit_verify, &audit_find, &audit_show,
                                                           NULL};

const struct cli_command cli_audit = {
    .name = "audit",
    .synopsis = "COMMAND ...",
    .summary = "who did what: check and search the records",
    .help =
        "For operators: the audit, in the files that the daemon wrote; see signet-audit(5). The commands\n"
        "work without the daemon, and beside it.\n",
    .subcommands = audit_commands,
};
