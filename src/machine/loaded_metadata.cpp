// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/loaded_metadata.h"

#include "base/bytes.h"

namespace suture::machine {

std::optional<module::Metadata> loaded_metadata(const Machine& machine, const std::string& name) {
  if (name.empty() || name.find('/') != std::string::npos) {
    return std::nullopt;
  }
  auto note = read_text(machine.sys / "module" / name / "notes" / module::note_section);
  return note ? module::parse_note(as_bytes(*note)) : std::nullopt;
}

std::string pinned_by(const Machine& machine, const std::string& name) {
  const auto metadata = loaded_metadata(machine, name);
  return metadata ? module::describe(metadata->pinned) : std::string{};
}

}  // namespace suture::machine
