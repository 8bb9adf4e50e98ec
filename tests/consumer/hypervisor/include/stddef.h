#include <hv/types.h> /* SPDX-License-Identifier: MIT */
