// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/live_report.h"

namespace suture::cli {

std::string state_word(const live::LoadedPatch& patch) {
  if (patch.transition) {
    return patch.enabled ? "enabling" : "disabling";
  }
  return patch.enabled ? "enabled" : "disabled";
}

Json to_json(const live::LoadedPatch& patch) {
  Json out{{"name", patch.name},
           {"state", state_word(patch)},
           {"enabled", patch.enabled},
           {"transition", patch.transition},
           {"objects", Json::array()}};
  for (const live::PatchedObject& object : patch.objects) {
    Json entry{{"name", object.name}, {"patched", object.patched}, {"functions", Json::array()}};
    for (const live::RedirectedFunction& function : object.functions) {
      entry["functions"].push_back({{"name", function.name}, {"sympos", function.sympos}});
    }
    out["objects"].push_back(std::move(entry));
  }
  return out;
}

}  // namespace suture::cli
