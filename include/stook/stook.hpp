// stook.hpp - everything a pipeline needs. What each part is stands at the head of its file;
// start with task.hpp.
#pragma once

#include <stook/cache.hpp>
#include <stook/call.hpp>
#include <stook/composite.hpp>
#include <stook/defaults.hpp>
#include <stook/errors.hpp>
#include <stook/external.hpp>
#include <stook/future.hpp>
#include <stook/init.hpp>
#include <stook/options.hpp>
#include <stook/run.hpp>
#include <stook/task.hpp>
