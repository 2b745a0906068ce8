// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's text files: Module.symvers, its configuration, the shell lines of kbuild and C
// source. The first byte says as which of them the rest is read.
#include <algorithm>
#include <cstdlib>

#include "kernel/prepare.h"
#include "kernel/shell_words.h"
#include "kernel/symvers.h"
#include "source/c_text.h"

namespace {

using namespace suture;

void require(bool condition) {
  if (!condition) {
    std::abort();
  }
}

void read_symvers(std::string_view text) {
  auto symvers = kernel::Symvers::parse(std::string(text), "fuzz");
  if (!symvers) {
    return;
  }
  require(symvers->size() != 0);
  for (const auto& [name, listed] : symvers->all()) {
    require(symvers->find(name) == &listed && !listed.module.empty());
    require(listed.module.find('/') == std::string_view::npos);
  }
}

void read_config(std::string_view text) {
  if (auto identity = kernel::config_identity(text, "fuzz")) {
    require(!identity->version.empty() && !identity->arch.empty());
  }
}

// Words never grow: the shell only takes quotes, backslashes and blanks away.
void read_recipe(std::string_view text) {
  auto words = kernel::split_words(text);
  std::size_t total = 0;
  for (const std::string& word : words ? *words : std::vector<std::string>{}) {
    total += word.size();
  }
  require(total <= text.size());
}

// What is cut up stands in the text.
void read_source(std::string_view text) {
  const source::CText cut = source::cut_up(std::string(text));
  for (const source::Chunk& chunk : cut.chunks) {
    for (const auto* names : {&chunk.defines, &chunk.uses, &chunk.shapes, &chunk.head}) {
      require(std::ranges::is_sorted(*names));
      for (std::string_view name : *names) {
        require(cut.text->find(name) != std::string::npos);
      }
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::string_view text = as_text(ByteView(data, size)).substr(1);
  switch (data[0] % 4) {
    case 0: read_symvers(text); break;
    case 1: read_config(text); break;
    case 2: read_recipe(text); break;
    default: read_source(text);
  }
  return 0;
}
