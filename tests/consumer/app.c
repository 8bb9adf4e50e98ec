/* SPDX-License-Identifier: MIT */
/* The smallest downstream program: every public header, one call into the library. */
#include <pviommu/amdvi.h>
#include <pviommu/batch.h>
#include <pviommu/context.h>
#include <pviommu/did.h>
#include <pviommu/domain.h>
#include <pviommu/gather.h>
#include <pviommu/host.h>
#include <pviommu/pgtable.h>
#include <pviommu/pool.h>
#include <pviommu/types.h>
#include <pviommu/unit.h>
#include <pviommu/vtd.h>
#include <stdio.h>
#include <string.h>

int main(void)
{
    printf("%s\n", pvi_strerror(-PVI_EEXIST));
    return strcmp(pvi_strerror(-PVI_EEXIST), "already mapped") != 0;
}
