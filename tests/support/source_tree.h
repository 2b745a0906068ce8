// SPDX-License-Identifier: GPL-2.0-or-later
//
// A small source tree and the units that are compiled of it.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "source/reach.h"
#include "source/source_index.h"

namespace suture::test {

class SourceTree {
 public:
  // Writes a file; sources are units too, looked at by the way that was set last.
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((root() / path).parent_path()));
    ASSERT_TRUE(write_file(root() / path, text));
  }
  void unit(const std::string& path, const std::string& text) {
    put(path, text);
    readers_.push_back({path, static_cast<std::uint32_t>(ways_.size() - 1)});
  }
  void way(source::IncludeWay way) { ways_.push_back(std::move(way)); }

  // Takes away the ways before the last, which no unit may use.
  void only_last_way() {
    ways_ = {ways_.back()};
    for (source::Reader& reader : readers_) {
      reader.way = 0;
    }
  }

  fs::path root() const { return directory_.path() / "tree"; }
  source::SourceIndex index() const {
    auto index = source::SourceIndex::open(root(), ways_, readers_, directory_.path() / "kept");
    EXPECT_TRUE(index) << (index ? "" : index.error().reason);
    return std::move(*index);
  }

  // The sources of the readers that are true.
  std::vector<std::string> sources(const std::vector<bool>& which) const {
    std::vector<std::string> out;
    for (std::size_t i = 0; i < which.size(); ++i) {
      if (which[i]) {
        out.push_back(readers_[i].source);
      }
    }
    std::ranges::sort(out);
    return out;
  }
  std::vector<std::string> users(const std::string& header) const {
    return sources(index().users({header}));
  }

  // Who may see a difference when the header's text goes over into another one.
  source::Reach reach(const std::string& header, const std::string& after) const {
    auto before = read_text(root() / header);
    source::ChangedFile file{.path = header, .before = before.value_or(""), .after = after};
    file.creates = !before;
    auto out = source::reach(index(), root(), {file});
    EXPECT_TRUE(out) << (out ? "" : out.error().reason);
    return std::move(*out);
  }
  std::vector<std::string> seen_by(const std::string& header, const std::string& after) const {
    return sources(reach(header, after).candidates);
  }

 private:
  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "tree");
  std::vector<source::IncludeWay> ways_{{.angle = {"include"}}};
  std::vector<source::Reader> readers_;
};

}  // namespace suture::test
