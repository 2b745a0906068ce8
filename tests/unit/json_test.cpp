// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/json.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture {
namespace {

using testing::ElementsAre;

TEST(Json, PairsThatBeginWithATextAreAnObject) {
  const Json json{{"name", "a"}, {"size", 3U}, {"on", true}, {"none", nullptr}};
  EXPECT_EQ(json.line(), R"({"name":"a","size":3,"on":true,"none":null})");
}

TEST(Json, OtherListsAreArrays) {
  EXPECT_EQ((Json{{"names", {1, 2}}}).line(), R"({"names":[1,2]})");
  EXPECT_EQ(Json::array({"a", "b"}).line(), R"(["a","b"])");
  EXPECT_EQ(Json(std::vector<std::string>{"a", "b"}).line(), R"(["a","b"])");
}

TEST(Json, MembersKeepTheirOrder) {
  Json json;
  json["z"] = 1;
  json["a"] = 2.5;
  json.update({{"z", 3}});
  EXPECT_EQ(json.line(), R"({"z":3,"a":2.5})");
}

TEST(Json, BytesThatAreNoTextAreReplaced) { EXPECT_EQ(Json("a\xff").text(), "\"a\xEF\xBF\xBD\""); }

TEST(Json, WhatIsNoJsonIsNothing) {
  EXPECT_FALSE(Json::parse("{"));
  EXPECT_FALSE(Json::parse(""));
  EXPECT_FALSE(Json::parse(std::string(5000, '[') + std::string(5000, ']')));
}

TEST(JsonReader, GivesTheMembers) {
  const auto json = Json::parse(R"({"t": "x", "i": -7, "n": 2, "b": true, "l": ["a", "b"]})");
  ASSERT_TRUE(json);
  JsonReader reader(*json);
  EXPECT_EQ(reader.text("t"), "x");
  EXPECT_EQ(reader.integer("i"), -7);
  EXPECT_EQ(reader.number("n"), 2);
  EXPECT_TRUE(reader.truth("b"));
  EXPECT_THAT(reader.texts("l"), ElementsAre("a", "b"));
  EXPECT_TRUE(reader.whole());
}

TEST(JsonReader, RemembersWhatWasMissingFirst) {
  const auto json = Json::parse(R"({"t": 1})");
  ASSERT_TRUE(json);
  JsonReader reader(*json);
  EXPECT_EQ(reader.text("t"), "");
  EXPECT_EQ(reader.integer("u"), 0);
  EXPECT_FALSE(reader.whole());
  EXPECT_EQ(reader.missing(), "t");
}

TEST(JsonReader, TellsWhatIsOfAnotherKindFromWhatIsNotThere) {
  const auto json = Json::parse(R"({"t": 1})");
  ASSERT_TRUE(json);
  JsonReader reader(*json);
  EXPECT_EQ(reader.text("u"), "");
  EXPECT_FALSE(reader.wrong());
  EXPECT_EQ(reader.text("t"), "");
  EXPECT_TRUE(reader.wrong());
}

TEST(JsonReader, OfWhatIsNoObjectHasNothing) {
  const Json json("text");
  JsonReader reader(json);
  EXPECT_EQ(reader.items("a").size(), 0U);
  EXPECT_FALSE(reader.whole());
}

}  // namespace
}  // namespace suture
