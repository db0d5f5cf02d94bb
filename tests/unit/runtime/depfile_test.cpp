// What gcc and clang write with -MD, and what must be refused.
#include "src/depfile.h"

#include <gtest/gtest.h>

#include <stook/errors.hpp>

namespace {

using stook::detail::parse_depfile;
using Names = std::vector<std::string>;

TEST(Depfile, OneRule) {
  EXPECT_EQ(parse_depfile("a.o: a.cc a.h\n"), (Names{"a.cc", "a.h"}));
  EXPECT_EQ(parse_depfile("a.o: a.cc"), (Names{"a.cc"}));
  EXPECT_EQ(parse_depfile("a.o:\n"), Names{});
  EXPECT_EQ(parse_depfile(""), Names{});
  EXPECT_EQ(parse_depfile("\n  \n\t\n"), Names{});
}

TEST(Depfile, ContinuedLines) {
  EXPECT_EQ(parse_depfile("a.o: a.cc \\\n  b.h \\\n c.h\n"), (Names{"a.cc", "b.h", "c.h"}));
  EXPECT_EQ(parse_depfile("a.o: \\\r\n a.cc\\\r\n b.h\r\n"), (Names{"a.cc", "b.h"}));
  EXPECT_EQ(parse_depfile("a.o \\\n : a.cc\n"), (Names{"a.cc"}));
  EXPECT_EQ(parse_depfile("a.o: a.cc \\\n"), (Names{"a.cc"}));
}

TEST(Depfile, EscapedCharacters) {
  EXPECT_EQ(parse_depfile("a.o: my\\ file.h\n"), (Names{"my file.h"}));
  EXPECT_EQ(parse_depfile("a.o: cost$$.h\n"), (Names{"cost$.h"}));
  EXPECT_EQ(parse_depfile("a.o: a\\#b.h\n"), (Names{"a#b.h"}));
  EXPECT_EQ(parse_depfile("a.o: a\\:b.h\n"), (Names{"a:b.h"}));
  EXPECT_EQ(parse_depfile("a.o: back\\slash.h\n"), (Names{"back\\slash.h"}));
  // A name that ends with a backslash, and one with a backslash before its space.
  EXPECT_EQ(parse_depfile("a.o: end\\\\ b.h\n"), (Names{"end\\", "b.h"}));
  EXPECT_EQ(parse_depfile("a.o: x\\\\\\ y.h\n"), (Names{"x\\ y.h"}));
  EXPECT_EQ(parse_depfile("my\\ out.o: a.cc\n"), (Names{"a.cc"}));
  EXPECT_EQ(parse_depfile("a.o: caf\xc3\xa9.h\n"), (Names{"caf\xc3\xa9.h"}));
}

TEST(Depfile, SeveralTargetsAndRules) {
  EXPECT_EQ(parse_depfile("a.o a.d: a.cc\n"), (Names{"a.cc"}));
  EXPECT_EQ(parse_depfile("a.o : a.cc\nb.o: b.cc a.cc\n"), (Names{"a.cc", "b.cc"}));
  // -MP: a phony target for each header.
  EXPECT_EQ(parse_depfile("a.o: a.cc b.h c.h\nb.h:\n\nc.h:\n"), (Names{"a.cc", "b.h", "c.h"}));
}

TEST(Depfile, ColonsInNames) {
  EXPECT_EQ(parse_depfile("c:/out/a.o: c:/in/a.cc d:\\x.h\n"), (Names{"c:/in/a.cc", "d:\\x.h"}));
  EXPECT_EQ(parse_depfile("a.o: b:c.h\n"), (Names{"b:c.h"}));
}

TEST(Depfile, Comments) {
  EXPECT_EQ(parse_depfile("# made by hand\na.o: a.cc # and a.h\nb.o: b.cc\n"),
            (Names{"a.cc", "b.cc"}));
}

void refused(const std::string& text, const std::string& message) {
  try {
    (void)parse_depfile(text);
    ADD_FAILURE() << "accepted: " << text;
  } catch (const stook::Error& error) {
    EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
  }
}

TEST(Depfile, WhatIsNoneIsRefusedNamingTheLine) {
  refused("just words\n", "line 1: there is no ':'");
  refused("a.o: a.cc\n\nb.cc\n", "line 3: there is no ':'");
  refused(": a.cc\n", "line 1: there is no target");
  refused(std::string("a.o: a\0b\n", 9), "zero byte");
  refused("a.o", "there is no ':'");
}

TEST(Depfile, EveryPrefixOfARealOneIsReadOrRefused) {
  const std::string text =
      "build/a.o: ../src/a.cc ../src/my\\ a.h \\\n $$x/y\\#.h c\\\\ d.h\n../src/my\\ a.h:\n";
  for (std::size_t size = 0; size <= text.size(); ++size) {
    try {
      (void)parse_depfile(text.substr(0, size));
    } catch (const stook::Error&) {}
  }
}

TEST(Depfile, ManyNamesOnce) {
  std::string text = "a.o:";
  for (int i = 0; i < 100000; ++i) text += " \\\n h" + std::to_string(i % 1000) + ".h";
  EXPECT_EQ(parse_depfile(text + "\n").size(), 1000u);
}

}  // namespace
