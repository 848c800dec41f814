/* SPDX-License-Identifier: Apache-2.0
 *
 * signet-audit: reads the audit. Run by `signet audit verify`, `find` and `show`.
 */
#include <errno.h>
#include <string.h>

#include "server/audit_tool/tool.h"

int main(int argc, char **argv)
{
    struct tool_options options;
    enum tool_exit exit_status = TOOL_USAGE;
    if (!tool_options_read(argc, argv, &options, &exit_status)) {
        return (int)exit_status;
    }
    switch (options.command) {
    case TOOL_VERIFY:
        exit_status = tool_verify(&options);
        break;
    case TOOL_FIND:
        exit_status = tool_find(&options);
        break;
    case TOOL_SHOW:
        exit_status = tool_show(&options);
        break;
    }
    /* What could not be written was not said. */
    if (fflush(stdout) != 0 || ferror(stdout) != 0) {
        return (int)tool_fail(TOOL_FAILED, "cannot write to standard output: %s",
                              strerrordesc_np(errno));
    }
    return (int)exit_status;
}
