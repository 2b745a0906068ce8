// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where an address goes that code holds in a field. Part of the x86-64 traits
// (Arch::follow_address).
#pragma once

#include <Zydis/Zydis.h>

#include "elf/arch.h"

namespace suture::elf {

AddressFate follow_address_x86_64(const ZydisDecoder& decoder, ByteView code,
                                  const AddressUses& uses);

}  // namespace suture::elf
