#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Cuts the page-table functions that the benchmark compares with, unmodified, out of a Linux 6.1 source tree.

usage: cut.py --files
       cut.py LINUX_TREE OUT_DIR

OUT_DIR then holds code of Linux (GPL-2.0): a build product, never to be committed or shipped.

  core.c   the IOMMU core's map, unmap and translate
  vtd.h    the VT-d tables and their driver entry points
  amd/     the two AMD table formats whole, what they need of headers, the driver entry points
  inc/     two headers of the IOMMU core, and for every other one that these include a line that leads to kstub.h
  version  of the tree
"""
import os
import re
import sys

IOMMU = 'drivers/iommu/'

# All that is needed of the tree: scripts/bench unpacks exactly this.
FILES = ['Makefile', 'include/linux/iommu.h', 'include/linux/io-pgtable.h', IOMMU + 'iommu.c',
         IOMMU + 'amd/amd_iommu.h', IOMMU + 'amd/amd_iommu_types.h', IOMMU + 'amd/io_pgtable.c',
         IOMMU + 'amd/io_pgtable_v2.c', IOMMU + 'amd/iommu.c', IOMMU + 'intel/iommu.c',
         IOMMU + 'intel/iommu.h']


class Source:
    """One kernel file, and ways to cut pieces out of it."""

    def __init__(self, tree, path):
        self.path = path
        try:
            with open(os.path.join(tree, path), encoding='utf-8') as f:
                self.text = f.read()
        except OSError as e:
            raise SystemExit(f'cut.py: {e}') from e

    def lost(self, what):
        raise SystemExit(f'cut.py: {self.path}: {what} not found; is this Linux 6.1?')

    def search(self, regex, what):
        m = re.search(regex, self.text, re.M | re.S)
        return m.group(0) + '\n' if m else self.lost(what)

    def func(self, name):
        """A function definition with its leading type lines."""
        return self.search(r'^(?:static [^\n;{}()=]*\n)?(?:[a-zA-Z_][^\n;{}()=]*[\s\*])?'
                           + re.escape(name) + r'\([^;{}]*?\)\s*\n\{.*?^\}\n', f'function {name}')

    def funcs(self, names):
        return ''.join(self.func(n) for n in names.split())

    def struct(self, name):
        return self.search(r'^struct ' + name + r' \{\n.*?^\};\n', f'struct {name}')

    def extern(self, name):
        return self.search(r'^extern [^;]*\b' + name + r'\b[^;]*;\n', f'declaration of {name}')

    def defines(self, names):
        """Every one-line #define whose name matches the pattern, comments cut off."""
        found = re.findall(r'^#define (?:' + names + r')\b[^\n]*\n', self.text, re.M)
        if not found:
            self.lost(f'#define {names}')
        return ''.join(re.sub(r'\s*/\*.*', '', line.rstrip('\n')) + '\n' for line in found)

    def between(self, start, stop):
        try:
            i = self.text.index(start)
            return self.text[i:self.text.index(stop, i)] + '\n'
        except ValueError:
            return self.lost(start)


def core(src):
    return ('#include "linux61.h"\n'
            + src.between('static size_t iommu_pgsize(', 'EXPORT_SYMBOL_GPL(iommu_unmap_fast);')
            + src.func('iommu_iova_to_phys'))


def iommu_h(src):
    return ('#pragma once\n#include "kstub.h"\nstruct iommu_domain;\nstruct iommu_dma_cookie;\n'
            + src.defines(r'IOMMU_(?:READ|WRITE|CACHE|NOEXEC|MMIO|PRIV)|__IOMMU_DOMAIN_\w+|'
                          r'IOMMU_DOMAIN_(?:BLOCKED|IDENTITY|UNMANAGED)')
            + src.search(r'^typedef int \(\*iommu_fault_handler_t\)[^;]*;\n', 'fault handler type')
            + src.struct('iommu_domain_geometry') + src.struct('iommu_domain')
            + src.struct('iommu_iotlb_gather') + src.struct('iommu_domain_ops')
            + src.funcs('iommu_iotlb_gather_init iommu_iotlb_sync iommu_iotlb_gather_is_disjoint '
                        'iommu_iotlb_gather_add_range iommu_iotlb_gather_add_page '
                        'iommu_iotlb_gather_queued'))


def amd_types(src):
    return ('#pragma once\n#include "kstub.h"\n#include <linux/io-pgtable.h>\n'
            + src.defines('MAX_IOMMUS|PD_IOMMUV2_MASK')
            + src.between('#define IOMMU_IN_ADDR_BIT_SIZE', '/* Bit value definition for dte irq')
            + src.between('#define PAGE_MODE_NONE', '/*\n * Bit value definition for DTE fields')
            + src.between('#define IOMMU_PAGE_MASK', '#define IOMMU_UNITY_MAP_FLAG')
            + src.between('#define io_pgtable_to_data(x)', 'struct amd_io_pgtable {')
            + src.struct('amd_io_pgtable') + src.struct('protection_domain')
            + src.extern('amd_iommu_np_cache'))


def amd_h(src):
    names = ('amd_iommu_pgtable amd_iommu_flush_page amd_iommu_update_and_flush_device_table '
             'amd_iommu_domain_update amd_iommu_domain_flush_complete '
             'amd_iommu_domain_flush_tlb_pde amd_iommu_flush_tlb amd_iommu_domain_set_gcr3 '
             'amd_iommu_domain_set_pgtable')
    return ('#pragma once\n#include "amd_iommu_types.h"\n'
            + ''.join(src.extern(n) for n in names.split())
            + src.funcs('iommu_virt_to_phys iommu_phys_to_virt amd_iommu_domain_set_pt_root '
                        'amd_iommu_domain_clr_pt_root'))


def amd_ops(src):
    return src.funcs('to_pdomain amd_iommu_map_pages amd_iommu_iotlb_gather_add_page '
                     'amd_iommu_unmap_pages amd_iommu_iova_to_phys')


def vtd(h, c):
    return (h.defines(r'VTD_PAGE_\w+|VTD_STRIDE_\w+|DMA_PTE_\w+|DMA_FL_PTE_\w+|DOMAIN_FLAG_\w+')
            + h.struct('dmar_domain') + h.struct('dma_pte')
            + h.funcs('to_dmar_domain dma_clear_pte dma_pte_addr dma_pte_present '
                      'dma_pte_superpage first_pte_in_page nr_pte_to_next_page')
            + c.defines('MAX_AGAW_WIDTH|MAX_AGAW_PFN_WIDTH|LEVEL_STRIDE|LEVEL_MASK|IOVA_PFN|'
                        'DEFAULT_DOMAIN_ADDRESS_WIDTH')
            + c.between('#define __DOMAIN_MAX_PFN(gaw)', '/* IO virtual address start page')
            + c.funcs('agaw_to_level agaw_to_width width_to_agaw level_to_offset_bits '
                      'pfn_level_offset level_mask level_size align_to_level lvl_to_nr_pages '
                      'mm_to_dma_pfn_start page_to_dma_pfn virt_to_dma_pfn alloc_pgtable_page '
                      'free_pgtable_page domain_use_first_level domain_pfn_supported '
                      'domain_flush_cache pfn_to_dma_pte dma_pfn_level_pte dma_pte_clear_range '
                      'dma_pte_free_level dma_pte_free_pagetable dma_pte_list_pagetables '
                      'dma_pte_clear_level domain_unmap aligned_nrpages hardware_largepage_caps '
                      'switch_to_super_page __domain_mapping intel_iommu_map '
                      'intel_iommu_map_pages intel_iommu_unmap intel_iommu_unmap_pages '
                      'intel_iommu_tlb_sync intel_iommu_iova_to_phys'))


def version(makefile):
    return '.'.join(re.search(rf'^{k} = *(\d+)', makefile.text, re.M).group(1)
                    for k in ('VERSION', 'PATCHLEVEL', 'SUBLEVEL')) + '\n'


def main(tree, out):
    def src(path):
        return Source(tree, path)

    amd, intel = IOMMU + 'amd/', IOMMU + 'intel/'
    made = {
        'core.c': core(src(IOMMU + 'iommu.c')),
        'vtd.h': vtd(src(intel + 'iommu.h'), src(intel + 'iommu.c')),
        'amd/amd_iommu_types.h': amd_types(src(amd + 'amd_iommu_types.h')),
        'amd/amd_iommu.h': amd_h(src(amd + 'amd_iommu.h')),
        'amd/amd_ops.h': amd_ops(src(amd + 'iommu.c')),
        'amd/io_pgtable.c': src(amd + 'io_pgtable.c').text,
        'amd/io_pgtable_v2.c': src(amd + 'io_pgtable_v2.c').text,
        'inc/linux/iommu.h': iommu_h(src('include/linux/iommu.h')),
        'inc/linux/io-pgtable.h': '#include "kstub.h"\n' + src('include/linux/io-pgtable.h').text,
        'version': version(src('Makefile')),
    }
    for text in list(made.values()):
        for header in re.findall(r'^#include <([^>]+)>', text, re.M):
            made.setdefault('inc/' + header, '#include "kstub.h"\n')
    for name, text in made.items():
        path = os.path.join(out, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)


if __name__ == '__main__':
    if sys.argv[1:] == ['--files']:
        print('\n'.join(FILES))
    elif len(sys.argv) == 3:
        main(sys.argv[1], sys.argv[2])
    else:
        raise SystemExit(__doc__)
