// SPDX-License-Identifier: GPL-2.0-or-later
//
// The manifest of a patch.
#include <algorithm>
#include <cstdlib>

#include "patch/manifest.h"

namespace {

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace suture;
  auto manifest = patch::parse_manifest(as_text(ByteView(data, size)), "fuzz", "");
  if (!manifest) {
    require(manifest.error().code == Code::bad_manifest && !manifest.error().reason.empty());
    return 0;
  }
  // Each becomes one line of what a module says of itself.
  for (const auto& text : {manifest->name, manifest->version, manifest->description}) {
    require(!text || (!text->empty() && text->find('\n') == text->npos));
  }
  for (const module::SystemState& state : manifest->states) {
    require(state.id != 0);
  }
  for (const module::Ignored& ignored : manifest->ignored) {
    require(!ignored.source.empty() && !ignored.name.empty() && !ignored.reason.empty());
  }
  return 0;
}
