// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/proof_report.h"

#include <fmt/format.h>

namespace suture::cli {

Json proof_json(const prove::Proof& proof) {
  Json out{{"proven", proof.accusations.empty()},
           {"loads", proof.loads},
           {"redirects", proof.redirects},
           {"functions", proof.functions},
           {"variables", proof.variables},
           {"references", proof.references},
           {"table_entries", proof.entries},
           {"compared", proof.compared},
           {"unseen", proof.unseen},
           {"accusations", errors_json(proof.accusations)}};
  return out;
}

std::string proof_text(const prove::Proof& proof) {
  std::string out =
      fmt::format("{} references and {} table entries are proven", proof.references, proof.entries);
  for (const std::string& what : proof.unseen) {
    out += fmt::format("\nnot looked at: {}", what);
  }
  return out;
}

}  // namespace suture::cli
