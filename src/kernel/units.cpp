// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/units.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "kernel/make_units.h"
#include "kernel/unit_list.h"

namespace suture::kernel {

namespace {

std::string normal(std::string_view path) { return fs::path(path).lexically_normal().string(); }

// Cuts the next field off, up to `end` or the end of the text.
std::string_view cut(std::string_view& text, char end) {
  std::size_t at = text.find(end);
  std::string_view field = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return field;
}

bool read_number(std::string_view text, std::uint32_t below, std::uint32_t& out) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out < below;
}

// False where it is no row, or names a list that is not there.
bool read_row(std::string_view row, std::uint32_t lists, Unit& unit) {
  if (!read_number(cut(row, '\t'), lists, unit.compiler) ||
      !read_number(cut(row, '\t'), lists, unit.objtool)) {
    return false;
  }
  unit.object = cut(row, '\t');
  unit.source = cut(row, '\t');
  unit.module_name = cut(row, '\t');
  unit.module_file = cut(row, '\t');
  while (!row.empty()) {
    // kbuild names an object twice where a module has both a list NAME-y and one NAME-objs.
    if (std::string module(cut(row, ','));
        std::ranges::find(unit.modules, module) == unit.modules.end()) {
      unit.modules.push_back(std::move(module));
    }
  }
  bool plain = unit.source.find("..") == std::string::npos && !unit.source.starts_with("./");
  unit.path = plain ? unit.source : normal(unit.source);
  return unit.object.ends_with(".o") && !unit.source.empty();
}

}  // namespace

Result<Units> Units::open(const Kernel& kernel, const Progress& progress) {
  TRY(ensure_units(kernel, progress));
  return parse(TRY(read_text(kernel.units)), kernel.units.string());
}

Result<Units> Units::parse(std::string text, const std::string& where) {
  auto damaged = [&](std::string_view why) {
    return fail(Code::bad_package, where,
                fmt::format("the list of the kernel's compile units is {}", why),
                fmt::format("remove {} and add the kernel again", where));
  };
  std::string_view rest = text;
  if (cut(rest, '\n') != units_format) {
    return damaged("of another format");
  }
  Units out;
  constexpr std::string_view module_word = "-DMODULE";
  std::vector<bool> for_modules;
  while (!rest.empty()) {
    std::string_view line = cut(rest, '\n');
    std::string_view kind = cut(line, '\t');
    if (kind == "L") {
      out.lists_.emplace_back(line);
      for_modules.push_back(fmt::format("\t{}\t", line).find(fmt::format("\t{}\t", module_word)) !=
                            std::string::npos);
      continue;
    }
    if (kind == "I") {
      out.included_.emplace_back(line);
      continue;
    }
    if (kind == "M") {
      std::string_view input = cut(line, '\t');
      out.made_.emplace_back(input, line);
      continue;
    }
    Unit unit;
    if (kind != "U" || !read_row(line, static_cast<std::uint32_t>(out.lists_.size()), unit)) {
      return damaged(fmt::format("damaged at '{}'", line.substr(0, 80)));
    }
    unit.is_module = for_modules[unit.compiler];
    out.units_.push_back(std::move(unit));
  }
  std::ranges::sort(out.units_, {}, &Unit::object);
  for (std::uint32_t i = 0; i < out.units_.size(); ++i) {
    out.by_path_.push_back(i);
    if (const Unit& unit = out.units_[i]; unit.path.size() != unit.source.size()) {
      out.indirect_.emplace_back(normal(unit.object), i);
    }
  }
  std::ranges::sort(out.included_);
  std::ranges::sort(out.made_);
  // Objects of one path stay in their order.
  std::ranges::stable_sort(
      out.by_path_, {}, [&](std::uint32_t i) -> const std::string& { return out.units_[i].path; });
  std::ranges::sort(out.indirect_);
  return out;
}

std::vector<const Unit*> Units::of_source(std::string_view path) const {
  std::vector<const Unit*> out;
  auto path_of = [&](std::uint32_t i) -> std::string_view { return units_[i].path; };
  for (auto it = std::ranges::lower_bound(by_path_, path, {}, path_of);
       it != by_path_.end() && units_[*it].path == path; ++it) {
    out.push_back(&units_[*it]);
  }
  return out;
}

const Unit* Units::of_object(std::string_view object) const {
  if (auto it = std::ranges::lower_bound(units_, object, {}, &Unit::object);
      it != units_.end() && it->object == object) {
    return &*it;
  }
  auto it = std::ranges::lower_bound(indirect_, object, {},
                                     &std::pair<std::string, std::uint32_t>::first);
  return it != indirect_.end() && it->first == object ? &units_[it->second] : nullptr;
}

bool Units::may_be_included(std::string_view path) const {
  return std::ranges::binary_search(included_, path);
}

std::string_view Units::made_of(std::string_view path) const {
  auto it = std::ranges::lower_bound(made_, path, {}, &std::pair<std::string, std::string>::first);
  return it != made_.end() && it->first == path ? std::string_view(it->second) : std::string_view{};
}

std::vector<std::string> Units::compiler(const Unit& unit) const {
  return words_of(lists_.at(unit.compiler), unit);
}

std::vector<std::string> Units::objtool(const Unit& unit) const {
  return words_of(lists_.at(unit.objtool), unit);
}

}  // namespace suture::kernel
