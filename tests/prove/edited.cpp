// SPDX-License-Identifier: GPL-2.0-or-later
#include "prove/edited.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cctype>

#include "base/process.h"

namespace suture::test {

std::optional<std::string> edited(std::string text, const Edit& edit) {
  if (edit.function == nullptr) {
    const std::size_t at = text.find(edit.from);
    return at == std::string::npos
               ? std::nullopt
               : std::optional(text.replace(at, std::string(edit.from).size(), edit.to));
  }
  // A definition starts at the margin, and its body with a brace of its own line.
  const std::string name = edit.function;
  const std::string call = name.contains('(') ? name : name + "(";
  for (std::size_t at = text.find(call); at != std::string::npos; at = text.find(call, at + 1)) {
    const std::size_t line = text.rfind('\n', at) + 1;
    const std::size_t body = text.find("\n{\n", at);
    const std::size_t end = text.find(';', at);
    if (std::isalpha(static_cast<unsigned char>(text[line])) != 0 && body < end) {
      return text.insert(
          body + 3, fmt::format("\tint suture_edit __maybe_unused = ({{ {} 0; }});\n", edit.to));
    }
  }
  return std::nullopt;
}

namespace {

fs::path diff_of(const kernel::Kernel& kernel, const Edit& edit, const fs::path& where) {
  const fs::path original = kernel.source / edit.file;
  const auto changed = edited(read_text(original).value(), edit);
  EXPECT_TRUE(changed) << edit.file << " has no place for " << edit.name;
  EXPECT_TRUE(write_file(where / "new.c", changed.value_or("")));
  const std::string label = edit.file;
  auto made = run(Command{.argv = {"diff", "-u", "--label", "a/" + label, "--label", "b/" + label,
                                   original.string(), (where / "new.c").string()}});
  EXPECT_TRUE(made && made->exit_status == 1);
  EXPECT_TRUE(write_file(where / "edit.patch", made ? made->out : std::string{}));
  return where / "edit.patch";
}

}  // namespace

std::optional<fs::path> build_module(const kernel::Kernel& kernel, const Edit& edit,
                                     module::Core core, const fs::path& where) {
  EXPECT_TRUE(make_directories(where));
  patch::Request request{.kernel = kernel,
                         .patches = {diff_of(kernel, edit, where)},
                         .output_directory = where,
                         .keep_objects = where / "objects",
                         .core = core,
                         .tool_version = "test"};
  auto built = patch::build(request, [](std::string_view) {});
  if (!built || !built->refusals.empty()) {
    const Error& error = built ? built->refusals.front() : built.error();
    ADD_FAILURE() << edit.name << ": " << error.where << ": " << error.reason;
    return std::nullopt;
  }
  return built->module;
}

}  // namespace suture::test
