# developer.cmake - targets for those who work on stook: `cmake --build build/dev --target check`.
add_custom_target(check COMMAND ${PROJECT_SOURCE_DIR}/tools/test --quick USES_TERMINAL)
add_custom_target(format COMMAND ${PROJECT_SOURCE_DIR}/tools/dev/format)
add_custom_target(check_format COMMAND ${PROJECT_SOURCE_DIR}/tools/dev/check-format)
