# run_example.cmake - runs an example twice in a fresh cache, compares its output with a file, and
# looks that the second run ran the entry task only.
#   cmake -D PROGRAM=... -D CACHE=... -D EXPECTED=... [-D UNCLI=TRUE] -P run_example.cmake -- ARGS
#   NEEDS=COMMAND: skipped where this command fails; PRINTED=REGEX: a task printed it to its stderr.
#   cmake -D PROGRAM=... -D CACHE=... -D STATUS=1 -D MESSAGE=REGEX -P run_example.cmake -- ARGS
set(arguments)
set(seen FALSE)
math(EXPR last "${CMAKE_ARGC} - 1")
foreach(i RANGE ${last})
  if(seen)
    list(APPEND arguments "${CMAKE_ARGV${i}}")
  elseif(CMAKE_ARGV${i} STREQUAL "--")
    set(seen TRUE)
  endif()
endforeach()

file(REMOVE_RECURSE ${CACHE})
get_filename_component(parent ${CACHE} DIRECTORY)
file(MAKE_DIRECTORY ${parent})

if(DEFINED NEEDS)
  separate_arguments(needs UNIX_COMMAND "${NEEDS}")
  execute_process(COMMAND ${needs} RESULT_VARIABLE status OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT status STREQUAL 0)
    message("skipped - ${PROGRAM}: '${NEEDS}' ended with ${status}: ${said}")
    return()
  endif()
endif()

if(DEFINED STATUS)   # it must end with STATUS and say MESSAGE, a regular expression
  execute_process(COMMAND ${PROGRAM} ${arguments} -o ${CACHE} RESULT_VARIABLE status
                  OUTPUT_VARIABLE output ERROR_VARIABLE output TIMEOUT 200)
  if(NOT status STREQUAL STATUS OR NOT output MATCHES "${MESSAGE}")
    message(FATAL_ERROR "ended with ${status}, not ${STATUS} and ${MESSAGE}:\n${output}")
  endif()
  return()
endif()

file(READ ${EXPECTED} expected)
if(UNCLI)
  set(command ${PROGRAM} ${CACHE})
else()
  set(command ${PROGRAM} ${arguments} -o ${CACHE} --stats ${CACHE}.stats)
endif()

foreach(round first second)
  execute_process(COMMAND ${command} RESULT_VARIABLE status OUTPUT_VARIABLE output
                  ERROR_VARIABLE errors TIMEOUT 200)
  if(NOT status STREQUAL 0)
    message(FATAL_ERROR "the ${round} run ended with ${status}:\n${output}${errors}")
  endif()
  if(UNCLI)   # more may follow
    string(LENGTH "${expected}" length)
    string(SUBSTRING "${output}" 0 ${length} output)
  endif()
  if(NOT output STREQUAL expected)
    message(FATAL_ERROR "the ${round} run printed\n${output}instead of\n${expected}${errors}")
  endif()
endforeach()

if(DEFINED PRINTED)
  file(GLOB_RECURSE logs ${CACHE}/tasks/*/stderr)
  set(printed)
  foreach(log ${logs})
    file(READ ${log} text)
    string(APPEND printed "${text}")
  endforeach()
  if(NOT printed MATCHES "${PRINTED}")
    message(FATAL_ERROR "no task printed '${PRINTED}', they printed:\n${printed}")
  endif()
endif()

if(NOT UNCLI)
  file(READ ${CACHE}.stats stats)
  string(JSON ran GET ${stats} ran)
  if(NOT ran EQUAL 1)
    message(FATAL_ERROR "the second run ran ${ran} tasks, not the entry task only:\n${stats}")
  endif()
endif()
