// SPDX-License-Identifier: GPL-2.0-or-later
//
// References: what every relocated field of the module points at.
#pragma once

#include "module/placing.h"

namespace suture::module {

class References {
 public:
  References(Assembly& assembly, const Placing& placing, const Resolver& resolver,
             const LinkTarget& target)
      : assembly_(assembly),
        placing_(placing),
        resolver_(resolver),
        symvers_(target.symvers),
        core_exports_(target.core_exports) {}

  // Something placed that holds a reference: a piece itself, or an entry of a table about it.
  struct Holder {
    const Source& source;
    std::int32_t piece = -1;
    Place base;  // where the holder was placed
    bool in_table = false;
  };
  Status write(const Holder& holder, const diff::Reference& reference);

 private:
  Result<Binding> bind(const Holder& holder, const diff::Reference& reference) const;
  Result<Binding> bind_glue(const Source& glue, const diff::Reference& reference) const;
  std::optional<Place> inside(const Holder& holder, const diff::Reference& reference) const;
  std::optional<Binding> of_core(std::string_view name) const;
  static Status check_address(const Holder& holder, const diff::Reference& reference,
                              const Binding& binding);
  Status check_early_reader(const Holder& holder, Place field, const Binding& binding) const;
  Status check_loader(const Holder& holder, const diff::Reference& reference, Place field,
                      const Binding& binding) const;

  Assembly& assembly_;
  const Placing& placing_;
  const Resolver& resolver_;
  const kernel::Symvers& symvers_;
  const kernel::Symvers* core_exports_;
};

}  // namespace suture::module
