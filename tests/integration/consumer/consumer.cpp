// SPDX-License-Identifier: Apache-2.0
// The same program: the header must be C++ too.
#include "consumer.c"
