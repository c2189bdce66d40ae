package com.alibaba.nacos;

import com.alibaba.nacos.core.code.ControllerMethodsCache;
import com.alibaba.nacos.sys.filter.NacosTypeExcludeFilter;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.web.servlet.ServletComponentScan;
import org.springframework.context.annotation.ComponentScan;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.FilterType;
import org.springframework.scheduling.annotation.EnableScheduling;

/**
 * A standalone Nacos server without its console, which is where the original main is.
 *
 * <p>In this package, because the server's start-up looks for its own classes from here.
 */
@Configuration
@EnableAutoConfiguration
@EnableScheduling
@ServletComponentScan
@ComponentScan(
        basePackages = "com.alibaba.nacos",
        excludeFilters = @ComponentScan.Filter(type = FilterType.CUSTOM, classes = NacosTypeExcludeFilter.class))
public class NacosServer {
    /** Does what the console does; without it every call below /v1/ns is answered with 501. */
    public NacosServer(ControllerMethodsCache methods) {
        methods.initClassMethod("com.alibaba.nacos.core.controller");
        methods.initClassMethod("com.alibaba.nacos.naming.controllers");
        methods.initClassMethod("com.alibaba.nacos.config.server.controller");
    }

    public static void main(String[] args) {
        SpringApplication.run(NacosServer.class, args);
    }
}
