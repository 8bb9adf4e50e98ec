/* SPDX-License-Identifier: MIT */
/* Stands in for Xen's header of the same name, and declares only what the shim uses. */
#ifndef STANDIN_VTD_DMAR_H
#define STANDIN_VTD_DMAR_H

struct acpi_drhd_unit {
    struct acpi_drhd_unit *next;
    struct vtd_iommu *iommu;
};
extern struct acpi_drhd_unit *acpi_drhd_units;
#define for_each_drhd_unit(drhd) for ((drhd) = acpi_drhd_units; (drhd); (drhd) = (drhd)->next)

struct pci_dev;
struct acpi_drhd_unit *acpi_find_matched_drhd_unit(const struct pci_dev *pdev);

#endif
